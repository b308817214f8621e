"""Offer a server twice what it can do: `python -m benchmarks.overload` (`make overload`).

Finds what one `emp server` process on a real store can do, then sends half of it, twice of it, and half of it again,
from processes of their own, on time whatever the answers do. Exits 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.figures import percentile
from benchmarks.lines import Line, table
from benchmarks.offered import Answer, Plan, Span, offer
from benchmarks.serving import server_on
from emp_core.ids import JobId
from emp_core.jobs import Announcement, JobState
from emp_core.store import Store, open_store
from emp_core.store.embedded import EmbeddedStore
from emp_server.settings import ServerSettings

NAMESPACE: Final = "overload"
JOB_TYPE: Final = "bench.text"
SCHEMA: Final = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
BODY: Final = json.dumps({"job_type": JOB_TYPE, "payload": {"text": "x" * 180}}).encode()
GENERATORS: Final = 2
CONNECTIONS: Final = 32
"""How many ask one after the other while the capacity is looked for: more do not make it larger."""
LEAD: Final = 1.0
"""Seconds that the generators may take to start."""
WINDOW: Final = 0.25
"""Seconds of which one p99 is made, to see when it is back."""
STORED: Final = 202
SHED: Final = (429, 503)

CROWDS: Final = 6
"""How long an answer may take at twice the capacity, p99: as often as long as the server takes, at its capacity, for as
many submissions as it works on at once. On a machine to itself that is a quarter of a second (100 at once, 2,300 a
second); on one that is shared it grows as everything does."""
LATE: Final = 50.0
"""Milliseconds: generators that are later than this measure themselves."""
SHARE_ACCEPTED: Final = 50.0
"""Percent of its capacity that a server must still store at twice of it."""
SHARE_SHED: Final = 20.0
"""Percent. Where less is shed, or some at half the capacity, the machine was not the same all the time: try again."""
RECOVERED_WITHIN: Final = 2.0
"""Seconds after the load has gone."""


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument("--at-once", type=int, help="EMP_SUBMISSIONS_AT_ONCE of the server, if not its default")
    return asyncio.run(_measure(parser.parse_args()))


async def _measure(wanted: argparse.Namespace) -> int:
    settings = {} if wanted.at_once is None else {"EMP_SUBMISSIONS_AT_ONCE": str(wanted.at_once)}
    with EmbeddedStore() as embedded, tempfile.TemporaryDirectory() as logs:
        async with open_store(embedded.url, NAMESPACE) as store:
            await store.types.announce(
                [Announcement(job_type=JOB_TYPE, digest="d", distribution="bench", version="1", payload_schema=SCHEMA)]
            )
            with server_on(embedded.url, NAMESPACE, Path(logs), settings) as (server, url):
                answers = await _offered(url, [Span("capacity", wanted.seconds, connections=CONNECTIONS // GENERATORS)])
                capacity = sum(answer.status == STORED for answer in answers) / wanted.seconds
                phases = [("before", 0.5), ("during", 2.0), ("after", 0.5)]
                spans = [Span(name, wanted.seconds, rate=capacity * share / GENERATORS) for name, share in phases]
                answers += await _offered(url, spans)
                memory = server.memory_mib()
            stored = await _stored(store, answers)
    at_once = wanted.at_once or ServerSettings.model_fields["submissions_at_once"].default
    longest = CROWDS * at_once / capacity * 1e3
    lines = [Line("capacity, submissions a second", capacity)]
    for name, share in phases:
        some = [answer for answer in answers if answer.span == name]
        lines += _phase(f"{name} ({share:g} x)", some, wanted.seconds, longest if name == "during" else None)
    lines += [*_verdict(answers, capacity, wanted.seconds), *stored, Line("server: memory at the end", memory, "MiB")]
    print(table("overload", lines))
    return 0 if all(line.holds for line in lines) else 1


async def _offered(url: str, spans: list[Span]) -> list[Answer]:
    """Let all generators carry out the same plan at the same time."""
    address = urlsplit(url)
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    plan = Plan(time.monotonic() + LEAD, request, spans)
    assert address.hostname is not None
    assert address.port is not None
    return await offer(address.hostname, address.port, [plan] * GENERATORS)


def _phase(name: str, answers: Sequence[Answer], seconds: float, longest: float | None) -> Iterator[Line]:
    """Say what became of the requests of a phase, which may take up to `longest` milliseconds."""
    accepted = [answer.took * 1e3 for answer in answers if answer.status == STORED]
    shed = [answer.took * 1e3 for answer in answers if answer.status in SHED]
    yield Line(f"{name}: offered a second", len(answers) / seconds)
    yield Line(f"{name}: accepted a second", len(accepted) / seconds)
    yield Line(f"{name}: shed a second", len(shed) / seconds)
    yield Line(f"{name}: accepted, p50", percentile(accepted or [0.0], 50), "ms")
    yield Line(f"{name}: accepted, p99", percentile(accepted or [0.0], 99), "ms", at_most=longest)
    if longest is not None:
        yield Line(f"{name}: shed, p99", percentile(shed or [0.0], 99), "ms", at_most=longest)
        late = [answer.late * 1e3 for answer in answers]
        yield Line(f"{name}: seen to late by the generators, p99", percentile(late, 99), "ms", at_most=LATE)


def _verdict(answers: Sequence[Answer], capacity: float, seconds: float) -> Iterator[Line]:
    during = [answer for answer in answers if answer.span == "during"]
    accepted = sum(answer.status == STORED for answer in during) / seconds / capacity * 100
    too_much = sum(answer.status in SHED for answer in answers if answer.span == "before")
    yield Line("before: shed, at half the capacity", too_much, at_most=0)
    yield Line("during: accepted, of the capacity", accepted, "%", at_least=SHARE_ACCEPTED)
    shed = sum(answer.status in SHED for answer in during) / len(during) * 100
    yield Line("during: shed, of what was offered", shed, "%", at_least=SHARE_SHED)
    others = [answer for answer in answers if answer.status not in {STORED, *SHED}]
    yield Line("answered neither 202 nor 429 or 503, or not at all", len(others), at_most=0)
    silent = [answer for answer in answers if answer.status in SHED and not answer.says_when]
    yield Line("shed without Retry-After", len(silent), at_most=0)
    yield Line("recovered after the load has gone", recovery(answers), "s", at_most=RECOVERED_WITHIN)


def recovery(answers: Sequence[Answer]) -> float:
    """Give the seconds after which a whole second was as before: nothing shed, and no p99 of a window worse.

    As before: at most twice the worst window's p99 of that phase, since a quiet machine's windows differ that much.
    Infinite if there was no such second.
    """
    before = _windows([answer for answer in answers if answer.span == "before"])
    usual = 2 * max(before.values(), default=0.0)
    after = _windows([answer for answer in answers if answer.span == "after"])
    calm, needed = 0, round(1 / WINDOW)
    for at, (_, p99) in enumerate(sorted(after.items())):
        calm = calm + 1 if p99 <= usual else 0
        if calm == needed:
            return (at + 1 - needed) * WINDOW
    return float("inf")


def _windows(answers: Sequence[Answer]) -> dict[int, float]:
    """Give the p99 by window of the times at which the requests were due; infinite where some were not accepted."""
    windows: dict[int, list[float]] = {}
    for answer in answers:
        took = answer.took if answer.status == STORED else float("inf")
        windows.setdefault(int(answer.due / WINDOW), []).append(took)
    return {at: percentile(times, 99) if max(times) < float("inf") else float("inf") for at, times in windows.items()}


async def _stored(store: Store, answers: Sequence[Answer]) -> list[Line]:
    """Compare what was accepted with what is stored."""
    ids = [JobId(answer.job_id) for answer in answers if answer.status == STORED]
    found = 0
    for start in range(0, len(ids), 1000):
        found += sum(job is not None for job in await store.views.get(ids[start : start + 1000]))
    waiting = (await store.views.counts())[JOB_TYPE][JobState.PENDING]
    return [
        Line("accepted and not stored", len(ids) - found, at_most=0),
        Line("accepted under an id that another has", len(ids) - len(set(ids)), at_most=0),
        Line("stored and not accepted", waiting - len(ids), at_most=0),
    ]


if __name__ == "__main__":
    sys.exit(main())
