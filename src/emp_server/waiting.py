"""Hold an answer back until a job ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

from starlette.types import Receive

from emp_core.errors import JobNotFound
from emp_core.ids import JobId, is_job_id
from emp_core.jobs import FINAL_STATES, Job, JobDetails
from emp_core.messages import JobUpdateMessage
from emp_core.store import Store
from emp_server.updates import Listener, Signal, Updates


async def read_job(store: Store, job_id: str) -> Job:
    """Read a job.

    Raises:
        JobNotFound: there is none, or the id is not one.
    """
    [job] = await store.views.get([known_form(job_id)])
    if job is None:
        raise not_found(job_id)
    return job


async def read_details(store: Store, job_id: str) -> JobDetails:
    """Read a job with its position, attempts, result or error.

    Raises:
        JobNotFound: there is none, or the id is not one.
    """
    details = await store.views.details(known_form(job_id))
    if details is None:
        raise not_found(job_id)
    return details


def known_form(job_id: str) -> JobId:
    """Give the id, if it has the form of one: anything else has no place in a key.

    Raises:
        JobNotFound: it has not.
    """
    if not is_job_id(job_id):
        raise not_found(job_id)
    return JobId(job_id)


def not_found(job_id: str) -> JobNotFound:
    """Say that there is no such job."""
    return JobNotFound(f"there is no job {job_id[:64]!r}")


async def wait_for_end(store: Store, updates: Updates, job_id: str, seconds: float, receive: Receive) -> JobDetails:
    """Read a job after it ended, or after so many seconds; at once when the client leaves or the server stops.

    Listen, then read, then wait: an update that comes between reading and waiting is kept. Every wait ends with a read.

    Raises:
        JobNotFound: there is no such job.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    with updates.listen(known_form(job_id)) as listener:
        async with stopped_by_leaving(listener, receive):
            news = _News.PERHAPS
            while news is _News.PERHAPS:
                async with updates.reading:
                    job = await read_job(store, job_id)
                if job.state in FINAL_STATES:
                    break
                news = await _news(listener, updates, deadline)
    async with updates.reading:
        return await read_details(store, job_id)


class _News(Enum):
    """What came of a wait."""

    ENDED = "the job has ended"
    PERHAPS = "it may have"
    OVER = "nobody waits any more"


async def _news(listener: Listener, updates: Updates, deadline: float) -> _News:
    """Wait for a reason to read."""
    while True:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return _News.OVER
        heard = await listener.next(min(left, updates.safety_read))
        match heard:
            case Signal.STOPPED:
                return _News.OVER
            case Signal.MISSED | Signal.SILENT:
                return _News.PERHAPS
            case JobUpdateMessage() if heard.status in FINAL_STATES:
                return _News.ENDED
            case _:
                pass


@asynccontextmanager
async def stopped_by_leaving(listener: Listener, receive: Receive) -> AsyncIterator[None]:
    """End a listening when the client leaves; the request's body must have been read."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        listener.stop()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
