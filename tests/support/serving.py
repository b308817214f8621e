"""A real server for tests: uvicorn in a thread, HTTP over loopback; jobs are ended by hand, as a worker would.

It runs on uvloop, as in production. On asyncio's own loop, answers on a kept-alive connection would wait 40 ms for the
client's delayed acknowledgement: asyncio does not set TCP_NODELAY on sockets that `socket.create_server` makes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvloop

from emp_core.ids import JobId, WorkerId, new_worker_id
from emp_core.jobs import Announcement, ClaimedJob, Completed, Failed, Reason, Report, Started
from emp_core.store import Reply, Store
from emp_core.tracing import NO_TRACER, Tracer
from emp_server.serving import Server, make_server, store_of
from emp_server.settings import ServerSettings
from support import quick_stop  # noqa: F401 - makes stops quick
from support.waiting import wait_until

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "size": {"$ref": "#/$defs/Size"}},
    "required": ["text"],
    "additionalProperties": False,
    "$defs": {"Size": {"type": "integer", "minimum": 1}},
}
WORDS = Announcement(
    job_type="text.words",
    digest="d-words",
    distribution="emp-plugin-words",
    version="1.0",
    title="Count words",
    description="Counts the words of a text.",
    payload_schema=SCHEMA,
    result_schema={"type": "object", "properties": {"words": {"type": "integer"}}},
    examples=({"text": "one two"},),
    options={"max_attempts": 5, "timeout": 30.0, "payload_limit": 1000},
)
ANYTHING = Announcement(job_type="any.thing", digest="d-any", distribution="emp-plugin-any", version="1.0")
"""A type without a schema and with EMP's limits."""


class RunningServer:
    """A server in a thread of its own."""

    def __init__(self, settings: ServerSettings, port: int = 0, tracer: Tracer = NO_TRACER) -> None:
        self.settings = settings
        self.tracer = tracer
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: Server | None = None
        self.loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with store_of(self.settings) as store:
            self.server = make_server(self.settings, store, self.tracer)
            await self.server.serve([self.listener])

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._thread.start()
        wait_until(lambda: self.server is not None and self.server.started)

    def stop(self) -> None:
        """Stop it as a signal would."""
        assert self.server is not None
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def listeners(self) -> int:
        """How many waits and streams are open."""
        assert self.server is not None
        return self.server.app.parts.updates.listeners


@contextmanager
def running(settings: ServerSettings, tracer: Tracer = NO_TRACER) -> Iterator[RunningServer]:
    """Run a server while the body runs."""
    server = RunningServer(settings, tracer=tracer)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Hand:
    """Does by hand what a worker does."""

    store: Store
    worker_id: WorkerId
    claims: int = 0
    held: dict[JobId, ClaimedJob] = field(default_factory=dict)

    async def claim(self, job_type: str) -> ClaimedJob:
        """Claim the most urgent job of a type."""
        self.claims += 1
        claim = await self.store.jobs.claim(self.worker_id, self.claims, {job_type: 1}, 1)
        [job] = claim.jobs
        self.held[job.job_id] = job
        return job

    async def start(self, job_type: str) -> ClaimedJob:
        """Claim a job and begin it."""
        job = await self.claim(job_type)
        assert await self.store.jobs.start(self.worker_id, [Started(job.job_id, job.token)]) == [Reply.OK]
        return job

    async def report(self, job: ClaimedJob, fraction: float, message: str, *log: bytes) -> None:
        """Report progress and log lines."""
        report = Report(job.job_id, job.token, fraction, message, log)
        assert await self.store.jobs.report(self.worker_id, [report]) == [Reply.OK]

    async def complete(self, job: ClaimedJob, result: bytes = b"null") -> None:
        """End a job well."""
        outcome = Completed(job.job_id, job.token, result)
        assert await self.store.jobs.complete(self.worker_id, [outcome]) == [Reply.OK]

    async def fail(self, job: ClaimedJob, error: bytes = b'{"message":"no"}') -> None:
        """End a job badly."""
        outcome = Failed(job.job_id, job.token, Reason.ERROR, error)
        assert await self.store.jobs.fail(self.worker_id, [outcome]) == [Reply.OK]


async def register(store: Store, **info: Any) -> Hand:
    """Register a worker."""
    hand = Hand(store, new_worker_id())
    said: Mapping[str, Any] = {
        "name": "tester",
        "host": "here",
        "pid": 1,
        "version": "1",
        "slots": 2,
        "types": {WORDS.job_type: WORDS.digest, ANYTHING.job_type: ANYTHING.digest},
        "plugins": [],
        **info,
    }
    await store.workers.register(hand.worker_id, said)
    return hand


async def submit(client: httpx2.AsyncClient, payload: Any = None, **options: Any) -> str:
    """Submit a job of the type without a schema, and give its id."""
    answer = await client.post("/v1/jobs", json={"job_type": ANYTHING.job_type, "payload": payload, **options})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def stored_jobs(store: Store) -> int:
    """Count what has ever been submitted."""
    return sum(counts.get("submitted", 0) for counts in (await store.views.stats()).counts.values())
