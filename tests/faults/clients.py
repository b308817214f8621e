"""Clients that submit jobs over plain HTTP, repeat what was not answered under the same key, and note everything."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from faults.history import STORED, Historian

ANSWER_TIMEOUT: Final = 5.0
PATIENCE: Final = 40.0
"""Seconds in which a client repeats a submission that was not answered, or not taken."""
_AGAIN: Final = (0.05, 0.3)
_CARGO: Final = (
    "null",
    "[1.0, 12345678901234567890123, 1e2, -0.0]",
    '{"\\u00e9": "\\u2028 \\ud83d\\ude00", "": []}',
    '{ "spaced" :\t[ ] }',
    '"é€😀"',
)
"""JSON whose bytes differ from what a parser would write again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the jobs of a client are like. Seconds are the longest; a share is a probability."""

    job_types: tuple[str, ...] = ("faults.async", "faults.async", "faults.async", "faults.thread", "faults.process")
    seconds: float = 0.2
    pause: float = 0.04
    failing: float = 0.1
    later: float = 0.1
    expiring: float = 0.1
    cancelled: float = 0.05
    once: float = 0.1


class Client:
    """One client on a thread of its own."""

    def __init__(self, urls: Sequence[str], history: Historian, seed: str, wish: Wish) -> None:
        self._urls = urls
        self._history = history
        self._chance = random.Random(seed)
        self._seed = seed
        self._wish = wish
        self._count = 0
        self._http = httpx2.Client(timeout=ANSWER_TIMEOUT, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, stopped: threading.Event) -> None:
        """Submit jobs until stopped."""
        while not stopped.is_set():
            job_id = self.submit_one()
            if job_id and self._chance.random() < self._wish.cancelled:
                self.ask("cancel", job_id)
            stopped.wait(self._chance.uniform(0, 2 * self._wish.pause))

    def submit_one(self) -> str | None:
        """Submit a job that chance has made; None if nobody took it."""
        wish, chance = self._wish, self._chance
        options: dict[str, Any] = {}
        if chance.random() < wish.later:
            options["delay"] = round(chance.uniform(0.1, 1.0), 3)
        if chance.random() < wish.expiring:
            options["expires_in"] = round(chance.uniform(0.01, 1.0), 3)
        if chance.random() < wish.once:
            options["max_attempts"] = 1
        fails = 1 if chance.random() < wish.failing else 0
        return self.submit(
            chance.choice(wish.job_types), chance.uniform(0, wish.seconds), work={"fail_attempts": fails}, **options
        )

    def submit(
        self, job_type: str, seconds: float = 0.0, *, work: Mapping[str, Any] | None = None, **options: Any
    ) -> str | None:
        """Submit a job until it is taken; `work` is more of its payload. Gives its id, None if it was never taken."""
        self._count += 1
        key = f"{self._seed}.{self._count}"
        order = {"key": key, "seconds": round(seconds, 3), **(work or {})}
        payload = f'{json.dumps(order)[:-1]}, "cargo": {self._chance.choice(_CARGO)}}}'
        head = json.dumps({"job_type": job_type, **options})[:-1]
        body = f'{head}, "payload": {payload}}}'.encode()
        deadline = time.monotonic() + PATIENCE
        while True:
            call = self._history.sent("submit", key, payload, options.get("max_attempts", 3))
            answer = self._send("POST", "/v1/jobs", body, {"Idempotency-Key": f'"{key}"'})
            if answer is not None:
                job_id = answer.json()["id"] if answer.status_code in STORED else ""
                self._history.answered(call, answer.status_code, job_id)
                if job_id:
                    return str(job_id)
            if time.monotonic() > deadline:
                return None
            time.sleep(self._chance.uniform(*_AGAIN))

    def ask(self, verb: str, job_id: str) -> httpx2.Response | None:
        """Ask once about a job: cancel it, or read its payload or result."""
        call = self._history.sent(verb, job_id)
        answer = self._send("POST" if verb == "cancel" else "GET", f"/v1/jobs/{job_id}/{verb}")
        if answer is not None:
            self._history.answered(call, answer.status_code, job_id, "" if verb == "cancel" else answer.text)
        return answer

    def _send(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> httpx2.Response | None:
        url = self._chance.choice(self._urls)
        headers = {**(headers or {}), "content-type": "application/json"}
        try:
            return self._http.request(method, f"{url}{path}", content=body, headers=headers)
        except httpx2.TransportError:
            return None


@contextmanager
def clients_at_work(make: Callable[[int], Client], count: int) -> Iterator[None]:
    """Let clients submit jobs while the body runs; each finishes what it has begun."""
    stopped = threading.Event()
    clients = [make(number) for number in range(count)]
    threads = [threading.Thread(target=each.run, args=(stopped,), name="client", daemon=True) for each in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread, client in zip(threads, clients, strict=True):
            thread.join(PATIENCE + ANSWER_TIMEOUT)
            client.close()


@dataclass(slots=True)
class Lag:
    """Measures how late this machine wakes a thread that sleeps for 5 ms: the load that a bound must be seen with."""

    worst: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def measured(self) -> Iterator[Lag]:
        """Measure while the body runs."""
        thread = threading.Thread(target=self._run, name="lag", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            before = time.monotonic()
            time.sleep(0.005)
            self.worst = max(self.worst, time.monotonic() - before - 0.005)
