"""The contract suite of the store runs on the engines that EMP supports; time is moved, not slept.

On Valkey every test runs. On Redis too, but only those marked `every_engine` are in `make test`: the others are slow
tests, which CI runs. On fakeredis, which serves the tests of plugin authors, run those marked `every_engine` alone.
They are at least one for each verb.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import fakeredis
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from emp_core.ids import JobId, WorkerId, new_job_id, new_worker_id
from emp_core.jobs import (
    Cancelled,
    ClaimedJob,
    Completed,
    Failed,
    Handle,
    Job,
    JobState,
    Outcome,
    Reason,
    Released,
    Report,
    Retry,
    Started,
    Submission,
)
from emp_core.messages import parse_message
from emp_core.store import CancelAsk, ClaimWord, Event, LeaseWord, Reply, Store
from emp_core.store.connection import connect
from emp_core.store.keys import Keys, namespace_tag
from emp_core.store.scripts import Scripts

TYPE = "test.work"
USUAL_ENGINES = ("valkey", pytest.param("redis", marks=pytest.mark.slow))
EVERY_ENGINE = ("fakeredis", "valkey", "redis")
FAKE_SCRIPTS = Scripts(shebang=False, shifted_clock=True)
REAL_SCRIPTS = Scripts(shifted_clock=True)


@dataclass
class Heard:
    """What has been published on a channel since one listens to it."""

    client: Redis
    subscription: Any
    channel: str

    async def _received(self) -> list[bytes]:
        await self.client.publish(self.channel, b"end")
        found: list[bytes] = []
        while True:
            received = await self.subscription.get_message(timeout=5)
            assert received is not None, "the end was not heard"
            if received["type"] != "message":
                continue
            if received["data"] == b"end":
                return found
            found.append(received["data"])

    async def raw(self) -> list[dict[str, Any]]:
        """Give the JSON of what was published and not given yet."""
        return [json.loads(line) for publication in await self._received() for line in publication.splitlines()]

    async def publications(self) -> list[list[Event]]:
        """Give what was published and not given yet: the messages of each publication."""
        return [[parse_message(line) for line in published.splitlines()] for published in await self._received()]

    async def messages(self) -> list[Any]:
        """Give the messages of all publications, one after the other."""
        return [message for publication in await self.publications() for message in publication]


@dataclass
class Engine:
    """A store with its raw client, and a clock that the test moves."""

    store: Store
    client: Redis
    keys: Keys
    namespace: str
    claims: int = 0

    async def pass_time(self, **duration: float) -> None:
        """Move the store's clock on (or back, when negative)."""
        shift = timedelta(**duration) // timedelta(milliseconds=1)
        stood = await self.client.get(self.keys("offset")) or b""
        if stood.startswith(b"="):
            await self.client.set(self.keys("offset"), f"={int(stood[1:]) + shift}")
        else:
            await self.client.incrby(self.keys("offset"), shift)

    async def stop_clock(self) -> None:
        """Let the store's clock move by `pass_time` alone: what is slow must not be late."""
        seconds, microseconds = await self.client.time()
        await self.client.set(self.keys("offset"), f"={seconds * 1000 + microseconds // 1000}")

    async def submit(self, *job_ids: JobId, **fields: Any) -> JobId:
        """Submit a job (or several) with defaults where the test does not care; give the last one's id."""
        job = Submission(job_id=new_job_id(), job_type=TYPE, payload=b"{}")
        jobs = [replace(job, **fields, job_id=job_id) for job_id in job_ids] or [replace(job, **fields)]
        await self.store.jobs.submit(jobs)
        return jobs[-1].job_id

    async def worker(self) -> WorkerId:
        """Register a worker."""
        worker = new_worker_id()
        assert (await self.store.workers.register(worker, {"name": "tester"})).word is LeaseWord.OK
        return worker

    async def claim(self, worker: WorkerId, total: int = 1, *types: str) -> tuple[ClaimedJob, ...]:
        """Claim under the next number."""
        self.claims += 1
        claim = await self.store.jobs.claim(worker, self.claims, dict.fromkeys(types or (TYPE,), total), total)
        assert claim.word is ClaimWord.OK
        return claim.jobs

    async def claimed(self, **fields: Any) -> tuple[WorkerId, ClaimedJob]:
        """Submit a job and let a new worker claim it."""
        await self.submit(**fields)
        worker = await self.worker()
        (job,) = await self.claim(worker, 1, fields.get("job_type", TYPE))
        return worker, job

    async def job(self, job_id: JobId) -> Job:
        """Read a job that must be there."""
        (job,) = await self.store.views.get([job_id])
        assert job is not None
        return job

    async def sweep(self) -> None:
        """Do all the janitor's duties once."""
        await self.store.jobs.sweep()
        for duty in (self.store.jobs.promote, self.store.jobs.expire, self.store.jobs.recover, self.store.jobs.retain):
            while await duty():
                pass

    async def tend(self, seconds: float) -> None:
        """Let time pass while the janitor does its duties every second."""
        while seconds > 0:
            await self.pass_time(seconds=min(1.0, seconds))
            await self.sweep()
            seconds -= 1.0

    async def lose(self, worker: WorkerId) -> None:
        """Let a worker's death be reported, and recover its jobs."""
        await self.store.workers.leave(worker, "killed by SIGKILL")
        await self.sweep()

    async def ask_cancel(self, job_id: JobId) -> None:
        """Ask to call a job off."""
        await self.store.jobs.cancel([CancelAsk(job_id, "tester")])

    async def write(self, verb: str, worker: WorkerId, job_id: JobId, token: str) -> Reply:
        """Let a worker make one of the holder's writes."""
        jobs = self.store.jobs
        if verb == "start":
            (reply,) = await jobs.start(worker, [Started(job_id, token)])
        elif verb == "report":
            (reply,) = await jobs.report(worker, [Report(job_id, token, 0.5, "half", (b"{}",))])
        elif verb == "save":
            (reply,) = await jobs.save(worker, [Handle(job_id, token, b'{"n":1}')])
        else:
            (reply,) = await jobs.settle(worker, [OUTCOMES[verb](job_id, token)])
        return reply

    async def counts(self, job_type: str = TYPE) -> dict[str, int]:
        """Give the counters of a type that are not zero."""
        counts = (await self.store.views.stats()).counts.get(job_type, {})
        return {name: number for name, number in counts.items() if number}

    @asynccontextmanager
    async def hear(self, name: str = "updates") -> AsyncIterator[Heard]:
        """Listen to a channel of the feed, below the feed."""
        channel = self.keys.channel(name)
        async with self.client.pubsub() as subscription:
            await subscription.subscribe(channel)
            yield Heard(self.client, subscription, channel)

    async def value(self, key: str) -> Any:
        """Give what a key holds, whatever its type."""
        kind = (await self.client.type(key)).decode()
        readers: dict[str, Callable[[], Awaitable[Any]]] = {
            "string": lambda: self.client.get(key),
            "hash": lambda: self.client.hgetall(key),
            "list": lambda: self.client.lrange(key, 0, -1),
            "set": lambda: self.client.smembers(key),
            "zset": lambda: self.client.zrange(key, 0, -1, withscores=True),
        }
        return await readers[kind]()

    async def dump(self) -> dict[str, Any]:
        """Give all that is stored, but for the number of refused writes."""
        stored = {key: await self.value(key) for key in await self.all_keys()}
        counts = stored.get(self.keys("counts"), {})
        stored[self.keys("counts")] = {name: n for name, n in counts.items() if not name.startswith(b"refused:")}
        return stored

    async def ttl(self, kind: str, *parts: str) -> timedelta | None:
        """Give how long a key will live; None if it lives for ever."""
        left = await self.client.pttl(self.keys(kind, *parts))
        assert left != -2, f"there is no {kind}"
        return None if left == -1 else timedelta(milliseconds=left)

    async def all_keys(self) -> set[str]:
        """Give every key of the namespace but the test's own clock."""
        found: set[str] = set()
        for pattern in (f"{{emp:{self.namespace}:*", f"{namespace_tag(self.namespace)}*"):
            async for key in self.client.scan_iter(match=pattern, count=1000):
                found.add(key.decode())
        return found - {self.keys("offset")}


OUTCOMES: dict[str, Callable[[JobId, str], Outcome]] = {
    "complete": lambda job_id, token: Completed(job_id, token, b'{"n": 1}'),
    "fail": lambda job_id, token: Failed(job_id, token, Reason.ERROR, b'{"message":"no"}'),
    "retry": lambda job_id, token: Retry(job_id, token, Reason.ERROR, b'{"message":"no"}', timedelta(seconds=10)),
    "release": Released,
    "refuse": lambda job_id, token: Released(job_id, token, timedelta(seconds=10)),
    "cancel": Cancelled,
}
"""One outcome of each kind; `refuse` is a release with a delay."""

WRITES = ("start", "report", "save", *OUTCOMES)
"""Every write of a job's holder, by the name that Engine.write takes."""

AFTER = {
    "complete": JobState.COMPLETED,
    "fail": JobState.FAILED,
    "retry": JobState.SCHEDULED,
    "release": JobState.PENDING,
    "refuse": JobState.SCHEDULED,
    "cancel": JobState.CANCELLED,
}
"""The state in which each outcome leaves its job."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the store on the engines that it is for."""
    if "engine_name" in metafunc.fixturenames:
        is_marked = metafunc.definition.get_closest_marker("every_engine") is not None
        metafunc.parametrize("engine_name", EVERY_ENGINE if is_marked else USUAL_ENGINES)


@pytest.fixture
async def engine(request: pytest.FixtureRequest, engine_name: str, namespace: str) -> AsyncIterator[Engine]:
    """Return the store on the engine that the test is run on."""
    opener = fake if engine_name == "fakeredis" else real
    url = "" if engine_name == "fakeredis" else request.getfixturevalue(SERVERS[engine_name]).url
    async with opener(url, namespace) as engine:
        yield engine


SERVERS = {"valkey": "valkey", "redis": "redis_server"}


@asynccontextmanager
async def fake(_url: str, namespace: str) -> AsyncIterator[Engine]:
    """Open a store on fakeredis."""
    server = fakeredis.FakeServer()

    def client() -> Redis:
        return fakeredis.FakeAsyncRedis(server=server)

    async with client() as raw:
        store = Store(client(), namespace, FAKE_SCRIPTS, client)
        yield Engine(store, raw, Keys(namespace, "00"), namespace)
        await store.close()


@asynccontextmanager
async def real(url: str, namespace: str) -> AsyncIterator[Engine]:
    """Open a store on a real server."""

    def waiter() -> Redis:
        return connect(url, connections=2, blocking_for=5)

    async with connect(url) as raw, connect(url) as client:
        store = Store(client, namespace, REAL_SCRIPTS, waiter)
        yield Engine(store, raw, Keys(namespace, "00"), namespace)
        await store.close()
