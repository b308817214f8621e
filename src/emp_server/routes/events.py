"""Stream what happens as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from emp_core.errors import JobNotFound, StoreError
from emp_core.ids import JobId
from emp_core.jobs import FINAL_STATES, JobDetails
from emp_core.messages import JobUpdateMessage, WorkerStatusMessage
from emp_server import media
from emp_server.answers import details_json, entity_tag
from emp_server.parts import Parts, TheParts
from emp_server.updates import Signal, Update
from emp_server.waiting import read_details, read_job

OPENING = b"retry: 1000\n\n"
KEEP_ALIVE = b": still here\n\n"
GAP_EVENT = b"event: gap\ndata: {}\n\n"
STORE_PAUSE = 1.0
"""Seconds between two looks at a store that is away."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventFilter(BaseModel):
    """The query of the stream of everything; with a filter, workers are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_type: str | None = Field(default=None, max_length=128, description="only updates of jobs of this type")
    state: str | None = Field(default=None, max_length=32, description="only updates to this state")


async def job_events(request: Request, parts: TheParts, job_id: str) -> Response:
    """Stream one job: an event `job` with the job as it is, then an event `job_update` for each change.

    When the job has ended, an event `job` shows it with its result, and the stream ends; it ends without one where the
    job is not kept any more. Whoever reconnects gets the job as it is then; what happened between may be missed.
    """
    job = await read_job(parts.store, job_id)
    return _answer(request, parts, _job_stream(parts, job.job_id))


async def all_events(request: Request, parts: TheParts, asked: Annotated[EventFilter, Query()]) -> Response:
    """Stream every change of all jobs and workers: `job_update`, `worker_status`, and `gap` where some were missed."""
    return _answer(request, parts, _stream_of_all(parts, asked))


def _answer(request: Request, parts: Parts, events: AsyncIterator[bytes]) -> Response:
    """Stream events; to HEAD only say what GET would: a stream whose body is left out would never end."""
    if request.method == "HEAD":
        return Response(media_type=media.EVENT_STREAM, headers=_HEADERS)
    return parts.crowd.stream(request.scope, events, _HEADERS)


async def _job_stream(parts: Parts, job_id: JobId) -> AsyncIterator[bytes]:
    yield OPENING
    silence = parts.settings.stream_keep_alive.total_seconds()
    shown = ""
    reading = True
    with parts.updates.listen(job_id) as listener:
        while True:
            if reading:
                # What was heard before the reading began is in what it reads.
                listener.forget()
                try:
                    details = await _look(parts, job_id)
                except JobNotFound:
                    return
                if details is not None and entity_tag(details) != shown:
                    shown = entity_tag(details)
                    yield _job_event(details)
                if details is not None and details.job.state in FINAL_STATES:
                    return
            heard = await listener.next(STORE_PAUSE if details is None else silence)
            match heard:
                case Signal.STOPPED:
                    return
                case Signal.SILENT:
                    yield KEEP_ALIVE
                case JobUpdateMessage():
                    yield _update_event(heard)
                case _:
                    pass
            reading = isinstance(heard, Signal) or (
                isinstance(heard, JobUpdateMessage) and heard.status in FINAL_STATES
            )


async def _look(parts: Parts, job_id: JobId) -> JobDetails | None:
    """Read the job; None while the store is away: the stream outlives that.

    Raises:
        JobNotFound: its retention is over.
    """
    try:
        async with parts.updates.reading:
            return await read_details(parts.store, job_id)
    except StoreError:
        return None


async def _stream_of_all(parts: Parts, asked: EventFilter) -> AsyncIterator[bytes]:
    yield OPENING
    silence = parts.settings.stream_keep_alive.total_seconds()
    with parts.updates.listen() as listener:
        while True:
            heard = await listener.next(silence)
            match heard:
                case Signal.STOPPED:
                    return
                case Signal.SILENT:
                    yield KEEP_ALIVE
                case Signal.MISSED:
                    yield GAP_EVENT
                case JobUpdateMessage():
                    if asked.state in {None, heard.status} and asked.job_type in {None, heard.job_type}:
                        yield _update_event(heard)
                case WorkerStatusMessage():
                    if asked.state is None and asked.job_type is None:
                        yield _update_event(heard)


def _job_event(details: JobDetails) -> bytes:
    return _event("job", details.job.version, details_json(details))


def _update_event(update: Update) -> bytes:
    return _event(update.type, f"{update.timestamp:.6f}", update.model_dump_json().encode())


def _event(name: str, event_id: str, data: bytes) -> bytes:
    """Write one event. A result may bring line breaks between its tokens: each line needs its own field."""
    lines = b"".join(b"data: " + line + b"\n" for line in data.splitlines())
    return f"event: {name}\nid: {event_id}\n".encode() + lines + b"\n"
