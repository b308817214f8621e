"""The store: the only place that speaks Redis. What the rest of EMP may use of it is named here."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import emp_core.store.plain_redis  # noqa: F401 - before redis

# isort: split
from redis.asyncio import Redis

from emp_core.store.announcements import TypeStore
from emp_core.store.api_keys import ApiKeyStore
from emp_core.store.batching import Pipeline
from emp_core.store.bell import Doorbell, Ring
from emp_core.store.connection import connect, database_of, redacted
from emp_core.store.doctor import Doctor, Glance
from emp_core.store.doctor.findings import Finding, Severity
from emp_core.store.doctor.patient import Patient
from emp_core.store.durability import KEEPS_ALL, Durability, Level, eviction_detail, evicts, read_durability
from emp_core.store.feed import GAP, PASSED, Event, Feed, Gap, Passed
from emp_core.store.format import is_known
from emp_core.store.jobs import WAITING_LIMIT, JobStore
from emp_core.store.keys import Keys
from emp_core.store.load import Memory, StoreLoad, read_load
from emp_core.store.measures import Durations, Measured, Measures, WorkerReading
from emp_core.store.records import text_of
from emp_core.store.refusals import needs_other_release, stops_start
from emp_core.store.replies import (
    CancelAsk,
    CancelWord,
    Claim,
    ClaimWord,
    Duties,
    Pool,
    Reply,
    ReviveWord,
    Submitted,
    SubmitWord,
)
from emp_core.store.scripts import Scripts
from emp_core.store.views import JobFilter, Page, Stats, Views
from emp_core.store.views_glance import Glances, Head, JobSheet, cursor_before
from emp_core.store.views_history import History, Minute
from emp_core.store.workers import LeaseWord, LeaveWord, Registered, Renewed, WorkerStore

__all__ = [
    "GAP",
    "KEEPS_ALL",
    "PASSED",
    "WAITING_LIMIT",
    "ApiKeyStore",
    "CancelAsk",
    "CancelWord",
    "Claim",
    "ClaimWord",
    "Doorbell",
    "Durability",
    "Durations",
    "Duties",
    "Event",
    "Feed",
    "Finding",
    "Gap",
    "Glance",
    "Glances",
    "Head",
    "History",
    "JobFilter",
    "JobSheet",
    "JobStore",
    "LeaseWord",
    "LeaveWord",
    "Level",
    "Measured",
    "Measures",
    "Memory",
    "Minute",
    "Page",
    "Passed",
    "Pool",
    "Registered",
    "Renewed",
    "Reply",
    "ReviveWord",
    "Ring",
    "Severity",
    "Stats",
    "Store",
    "StoreLoad",
    "SubmitWord",
    "Submitted",
    "TypeStore",
    "Views",
    "WorkerReading",
    "WorkerStore",
    "cursor_before",
    "eviction_detail",
    "evicts",
    "needs_other_release",
    "open_store",
    "redacted",
    "stops_start",
]

PARTITION = "00"
"""The one partition that a namespace has for now; ids and keys name it, so that more can come without moving a job."""


class Store:
    """Everything that can be asked of the store, by subject."""

    def __init__(
        self,
        client: Redis,
        namespace: str,
        scripts: Scripts,
        waiter: Callable[[], Redis],
        *,
        replicated: bool = False,
        waiting_limit: int = WAITING_LIMIT,
    ) -> None:
        database = database_of(client)
        keys, scripts = Keys(namespace, PARTITION, database), scripts.for_database(database)
        self._pipeline = pipeline = Pipeline(client, scripts)
        # The store takes outcomes while a worker reads what it has claimed, and works on a claim while it reads those.
        self._claims = Pipeline(client, scripts)
        # Nobody but a submission should stand still until a replica has confirmed.
        self._submissions = Pipeline(client, scripts, replicated=True) if replicated else pipeline
        self._replicated = replicated
        self._scripts = scripts
        self._keys = keys
        self._doctor = Doctor(Patient(client, namespace, PARTITION), pipeline, scripts)
        self.jobs = JobStore(pipeline, scripts, keys, self._claims, self._submissions, waiting_limit)
        self.views = Views(pipeline, scripts, keys)
        self.glances = Glances(pipeline, keys)
        self.history = History(pipeline, scripts, keys)
        self.measures = Measures(pipeline, scripts, keys, self.views)
        self.workers = WorkerStore(pipeline, scripts, keys)
        self.types = TypeStore(pipeline, scripts, keys, namespace)
        self.api_keys = ApiKeyStore(pipeline, namespace)
        self.feed = Feed(waiter, keys)
        self.doorbell = Doorbell(waiter, keys)

    async def ping(self) -> None:
        """Make a round trip to the store.

        Raises:
            StoreUnavailable: it does not answer.
        """
        await self._pipeline.send(("PING",))

    async def epoch(self) -> str:
        """Read the birth of this store; it changes when the store came back empty. Empty until it has one."""
        born = await self._pipeline.send(("GET", self._keys("epoch")))
        return text_of(born) if born else ""

    async def identify(self) -> str:
        """Return the epoch of this store, as `initialize` does, with no script for a store that has all it needs.

        Raises:
            StoreUnavailable: it does not answer, or has a format of another release (`needs_other_release`).
            StoreFull: it is new and has no room.
        """
        epoch, number = await self._pipeline.send(("MGET", self._keys("epoch"), self._keys("format")))
        return text_of(epoch) if epoch and is_known(number) else await self.initialize()

    async def initialize(self) -> str:
        """Return the epoch of this store; a new store gets one, and its format.

        Raises:
            StoreUnavailable: it does not answer, or has a format of another release (`needs_other_release`).
            StoreFull: it is new and has no room.
        """
        command = self._scripts["initialize"].command(self._keys.tag, {"epoch": secrets.token_hex(8)})
        epoch: bytes = await self._pipeline.send(command)
        return text_of(epoch)

    async def durability(self) -> Durability:
        """Read what the store keeps of what it has answered.

        Raises:
            StoreUnavailable: it does not answer.
        """
        return await read_durability(self._pipeline, replicated=self._replicated)

    async def load(self) -> StoreLoad:
        """Read how full the store is.

        Raises:
            StoreUnavailable: it does not answer.
        """
        return await read_load(self._pipeline, self.views)

    async def glance(self) -> Glance:
        """Let the doctor take a quick look: the store's server and who works on it, and none of the jobs.

        Raises:
            StoreError: it does not answer.
        """
        return await self._doctor.glance()

    async def close(self) -> None:
        """Let the round trips under way end."""
        for pipeline in {self._pipeline, self._claims, self._submissions}:
            await pipeline.close()
        await self.doorbell.close()


@asynccontextmanager
async def open_store(
    redis_url: str,
    namespace: str,
    *,
    scripts: Scripts | None = None,
    replicated: bool = False,
    waiting_limit: int = WAITING_LIMIT,
) -> AsyncIterator[Store]:
    """Open the store at a URL; it connects with the first call, and again after every loss.

    Args:
        redis_url: `redis://`, `rediss://`, `redis+sentinel://` or `unix://`.
        namespace: which part of the store.
        scripts: other ones than EMP's own, for tests.
        replicated: answer a submission only when a replica has it.
        waiting_limit: how many jobs of a type may wait.

    Raises:
        SettingsError: the URL cannot be read.
    """
    client = connect(redis_url)

    def waiter() -> Redis:
        return connect(redis_url, connections=2, blocking_for=Doorbell.LONGEST_WAIT)

    store = Store(client, namespace, scripts or Scripts(), waiter, replicated=replicated, waiting_limit=waiting_limit)
    try:
        yield store
    finally:
        await store.close()
        await client.aclose()
