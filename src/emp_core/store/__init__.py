"""The store: the only place that speaks Redis. What the rest of EMP may use of it is named here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from emp_core.store.announcements import TypeStore
from emp_core.store.batching import Pipeline
from emp_core.store.bell import Doorbell, Ring
from emp_core.store.connection import connect, redacted
from emp_core.store.feed import GAP, Event, Feed, Gap
from emp_core.store.jobs import JobStore
from emp_core.store.keys import Keys
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
from emp_core.store.workers import LeaseWord, LeaveWord, Registered, Renewed, WorkerStore

__all__ = [
    "GAP",
    "CancelAsk",
    "CancelWord",
    "Claim",
    "ClaimWord",
    "Doorbell",
    "Duties",
    "Event",
    "Feed",
    "Gap",
    "JobFilter",
    "JobStore",
    "LeaseWord",
    "LeaveWord",
    "Page",
    "Pool",
    "Registered",
    "Renewed",
    "Reply",
    "ReviveWord",
    "Ring",
    "Stats",
    "Store",
    "SubmitWord",
    "Submitted",
    "TypeStore",
    "Views",
    "WorkerStore",
    "open_store",
    "redacted",
]

PARTITION = "00"
"""The one partition that a namespace has for now; ids and keys name it, so that more can come without moving a job."""


class Store:
    """Everything that can be asked of the store, by subject."""

    def __init__(self, client: Redis, namespace: str, scripts: Scripts, waiter: Callable[[], Redis]) -> None:
        keys = Keys(namespace, PARTITION)
        self._pipeline = pipeline = Pipeline(client, scripts)
        self._keys = keys
        self.jobs = JobStore(pipeline, scripts, keys)
        self.views = Views(pipeline, scripts, keys)
        self.workers = WorkerStore(pipeline, scripts, keys)
        self.types = TypeStore(pipeline, scripts, keys, namespace)
        self.feed = Feed(waiter, keys)
        self.doorbell = Doorbell(waiter, keys)

    async def ping(self) -> None:
        """Make a round trip to the store.

        Raises:
            StoreUnavailable: it does not answer.
        """
        await self._pipeline.send(("PING",))

    async def epoch(self) -> str:
        """Read the birth of this store; it changes when the store came back empty. Empty until a worker registers."""
        born = await self._pipeline.send(("GET", self._keys("epoch")))
        return born.decode() if born else ""

    async def close(self) -> None:
        """Let the round trip under way end."""
        await self._pipeline.close()
        await self.doorbell.close()


@asynccontextmanager
async def open_store(redis_url: str, namespace: str, *, scripts: Scripts | None = None) -> AsyncIterator[Store]:
    """Open the store at a URL; it connects with the first call, and again after every loss.

    Raises:
        SettingsError: the URL cannot be read.
    """
    client = connect(redis_url)

    def waiter() -> Redis:
        return connect(redis_url, connections=2, blocking_for=Doorbell.LONGEST_WAIT)

    store = Store(client, namespace, scripts or Scripts(), waiter)
    try:
        yield store
    finally:
        await store.close()
        await client.aclose()
