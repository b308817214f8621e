"""Tell whoever waits or watches what has changed: one subscription to the store serves all listeners here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from typing import assert_never

from emp_core.ids import JobId
from emp_core.messages import JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage
from emp_core.store import Feed, Gap, Passed
from emp_server.lasting import lasting

Update = JobUpdateMessage | WorkerStatusMessage


class Signal(Enum):
    """What a listener hears besides updates."""

    MISSED = "missed"
    """Updates may be missing: read the store."""
    SILENT = "silent"
    """Nothing came in time."""
    STOPPED = "stopped"
    """Nothing will come any more: the server stops, or the client has gone."""


class Listener:
    """What one waiter or stream has not heard yet. One that falls too far behind hears MISSED instead of the rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._updates: deque[Update] = deque()
        self._missed = False
        self._stopped = False
        self._woken = asyncio.Event()

    def hear(self, update: Update) -> None:
        """Keep an update until it is asked for."""
        if len(self._updates) >= self._limit:
            self.miss()
        else:
            self._updates.append(update)
            self._woken.set()

    def miss(self) -> None:
        """Give up what is kept: after the read that follows it would be old news."""
        self._updates.clear()
        self._missed = True
        self._woken.set()

    def stop(self) -> None:
        """End the listening, at once."""
        self._stopped = True
        self._woken.set()

    def forget(self) -> None:
        """Drop what was heard so far, because the store is about to be read."""
        self._updates.clear()
        self._missed = False

    async def next(self, seconds: float) -> Update | Signal:
        """Give the next update, or a signal, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not (self._updates or self._missed or self._stopped):
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            return Signal.SILENT
        if self._stopped:
            return Signal.STOPPED
        if self._missed:
            self._missed = False
            return Signal.MISSED
        return self._updates.popleft()


class Updates:
    """Hands the store's messages to listeners: of one job, of everything, or of nothing but that something changed."""

    SAFETY_READ = 5.0
    """Seconds after which a waiter reads the store although it heard nothing: a message may be lost."""
    SAFETY_READ_WITHOUT_FEED = 1.0
    SAFETY_READS_A_SECOND = 250
    """Of all waiters together: where there are more than that lets read so often, each reads less often."""
    READERS = 100
    """Listeners that read the store at once; the others wait for their turn. Where thousands are told to read, the last
    reads would else be refused as too many; so many fill a round trip all the same."""

    def __init__(self, feed: Feed, limit: int, on_worker: Callable[[WorkerStatusMessage], None]) -> None:
        self._feed = feed
        self._limit = limit
        self._on_worker = on_worker
        self._of_job: dict[str, set[Listener]] = {}
        self._of_all: set[Listener] = set()
        self._of_any: set[Listener] = set()
        self._listeners = 0
        self.reading = asyncio.Semaphore(self.READERS)
        self._stands = False
        self._stopped = False

    @property
    def safety_read(self) -> float:
        """Seconds after which a waiter that heard nothing reads the store."""
        least = self.SAFETY_READ if self._stands else self.SAFETY_READ_WITHOUT_FEED
        return max(least, self._listeners / self.SAFETY_READS_A_SECOND)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    @contextmanager
    def listen(self, job_id: JobId | None = None) -> Iterator[Listener]:
        """Listen to one job, or (None) to everything."""
        place = self._of_all if job_id is None else self._of_job.setdefault(job_id, set())
        try:
            with self._listener_in(place) as listener:
                yield listener
        finally:
            if job_id is not None and not place:
                self._of_job.pop(job_id, None)

    @contextmanager
    def listen_for_any(self) -> Iterator[Listener]:
        """Listen for a change of anything, which is heard as MISSED; nothing has to be read or kept for that."""
        with self._listener_in(self._of_any) as listener:
            yield listener

    @contextmanager
    def _listener_in(self, place: set[Listener]) -> Iterator[Listener]:
        listener = Listener(self._limit)
        if self._stopped:
            listener.stop()
        place.add(listener)
        self._listeners += 1
        try:
            yield listener
        finally:
            self._listeners -= 1
            place.discard(listener)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the store while the body runs."""
        following = asyncio.create_task(lasting("updates", self._follow))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    def stop(self) -> None:
        """End every wait and stream, now and from now on: the server is about to stop."""
        self._stopped = True
        for listener in self._everybody():
            listener.stop()

    async def _follow(self) -> None:
        async with self._feed.subscribe(jobs=True, workers=True, concerns=self._is_heard) as events:
            async for event in events:
                match event:
                    case JobUpdateMessage():
                        for listener in [*self._of_job.get(event.job_id, ()), *self._of_all]:
                            listener.hear(event)
                        self._tell_of_any()
                    case WorkerStatusMessage():
                        self._on_worker(event)
                        for listener in self._of_all:
                            listener.hear(event)
                        self._tell_of_any()
                    case Passed.PASSED:
                        self._tell_of_any()
                    case JobAvailableMessage():
                        pass
                    case Gap.GAP:
                        self._stands = True
                        for listener in self._everybody():
                            listener.miss()
                    case unreachable:
                        assert_never(unreachable)

    def _is_heard(self, job_id: str) -> bool:
        return bool(self._of_all) or job_id in self._of_job

    def _tell_of_any(self) -> None:
        for listener in self._of_any:
            listener.miss()

    def _everybody(self) -> list[Listener]:
        return [*self._of_all, *self._of_any, *(listener for some in self._of_job.values() for listener in some)]
