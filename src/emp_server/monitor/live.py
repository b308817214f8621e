"""Tell open pages that something has changed, a few times a second at most, however many jobs pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from emp_core.ids import JobId
from emp_server import media
from emp_server.parts import Parts, TheParts
from emp_server.updates import Signal
from emp_server.waiting import known_form

OPENING: Final = b"retry: 1000\n\n"
CHANGED: Final = b"event: changed\ndata:\n\n"
KEEP_ALIVE: Final = b": still here\n\n"
PAUSE: Final = 1.5
"""Seconds between two words to a page about everything."""
PAUSE_OF_JOB: Final = 0.3
"""Seconds between two words to a page about one job."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class LiveQuery(BaseModel):
    """The query of the stream: whose changes, those of one job or all."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job: str | None = Field(default=None, max_length=64)


async def changes(request: Request, parts: TheParts, asked: Annotated[LiveQuery, Query()]) -> Response:
    """Stream an event `changed` whenever the page that shows this would be another."""
    job_id = None if asked.job is None else known_form(asked.job)
    if request.method == "HEAD":
        return Response(media_type=media.EVENT_STREAM, headers=_HEADERS)
    return parts.crowd.stream(request.scope, _stream(parts, job_id), _HEADERS)


async def _stream(parts: Parts, job_id: JobId | None) -> AsyncIterator[bytes]:
    yield OPENING
    silence = parts.settings.stream_keep_alive.total_seconds()
    listening = parts.updates.listen_for_any() if job_id is None else parts.updates.listen(job_id)
    with listening as listener:
        while True:
            heard = await listener.next(silence)
            if heard is Signal.STOPPED:
                return
            if heard is Signal.SILENT:
                yield KEEP_ALIVE
                continue
            # What comes during the pause is kept, and is the reason for the next word.
            listener.forget()
            yield CHANGED
            await asyncio.sleep(PAUSE if job_id is None else PAUSE_OF_JOB)
