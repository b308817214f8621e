"""Look at jobs, and act on them by hand."""

from __future__ import annotations

from typing import Annotated, assert_never
from urllib.parse import urlencode

import msgspec
import structlog
from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from emp_core.errors import InvalidRequest, JobNotFound, StateConflict
from emp_core.ids import is_job_id, is_job_type_name
from emp_core.jobs import FINAL_STATES, TAG_LENGTH, JobState
from emp_core.store import CancelAsk, CancelWord, JobFilter, ReviveWord
from emp_server import media, strict_json
from emp_server.access import TheCaller
from emp_server.answers import details_json, entity_tag, job_answer
from emp_server.body import JSON_BODY, media_type, read_body
from emp_server.conditional import is_known
from emp_server.delivery import read_wait
from emp_server.documents import JobPageAnswer
from emp_server.overview import RUNNING, overview
from emp_server.parts import TheParts
from emp_server.waiting import known_form, not_found, read_details, read_job, wait_for_end

WHO = "http"
"""Who cancelled, where nobody has to show an API key."""

STATES = (RUNNING, *(state.value for state in JobState))
"""The states that a list can be asked for."""

_log = structlog.get_logger()


class JobList(BaseModel):
    """The query of a list of jobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: str | None = Field(
        default=None,
        description="a state, or `running` for claimed and in_progress",
        json_schema_extra={"enum": list(STATES)},
    )
    job_type: str | None = Field(default=None, max_length=128, description="with `state`, pending or a final one")
    tag: str | None = Field(default=None, min_length=1, max_length=TAG_LENGTH, description="a tag, and nothing else")
    worker: str | None = Field(default=None, max_length=64, description="the id of a worker, and nothing else")
    cursor: str | None = Field(default=None, max_length=200, description="where the page begins, as the last page said")
    limit: int | None = Field(default=None, ge=1, description="jobs in the page")


class WaitQuery(BaseModel):
    """The query of a request whose answer may be held back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wait: str | None = Field(default=None, description="seconds to hold the answer back until the job ends")


class LogQuery(BaseModel):
    """The query of a log."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: int = Field(default=0, ge=0, le=2**31, description="the index of the first line wanted")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancel."""

    why: str = ""


async def list_jobs(request: Request, parts: TheParts, asked: Annotated[JobList, Query()]) -> Response:
    """List jobs: waiting ones in the order of their claim, running and final ones newest first.

    Only what an index serves can be asked for: a state, with or without a job type; a tag; the jobs of a worker.
    Without any of them: what runs, what waits, what ended.
    """
    limit = asked.limit if asked.limit is not None else parts.settings.page_default_items
    if limit > parts.settings.page_limit_items:
        raise InvalidRequest(f"limit is at most {parts.settings.page_limit_items}")
    wanted, views = _filter(asked), parts.store.views
    is_overview = wanted == JobFilter()
    page = await (overview(views, asked.cursor, limit) if is_overview else views.list(wanted, asked.cursor, limit))
    headers = {}
    if page.next_cursor is not None:
        query = {**asked.model_dump(exclude_none=True), "cursor": page.next_cursor}
        headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    answer = JobPageAnswer([job_answer(job) for job in page.jobs], page.next_cursor)
    return Response(msgspec.json.encode(answer), headers=headers, media_type=media.JSON)


async def get_job(request: Request, parts: TheParts, job_id: str, asked: Annotated[WaitQuery, Query()]) -> Response:
    """Show a job, with its position while it waits, its attempts, and its result or error when it has ended.

    With `?wait=N` or `Prefer: wait=N` the answer is held back until the job ends or N seconds have passed.
    """
    wait = read_wait(request.headers.get("prefer", ""), asked.wait, parts.settings.longest_wait)
    if wait.seconds:
        details = await wait_for_end(parts.store, parts.updates, job_id, wait.seconds, request.receive)
    else:
        details = await read_details(parts.store, job_id)
    headers = {"ETag": entity_tag(details), "Cache-Control": "no-cache", **wait.headers}
    if is_known(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(details_json(details), headers=headers, media_type=media.JSON)


async def get_payload(parts: TheParts, job_id: str) -> Response:
    """Give a job's payload, byte for byte."""
    payload = await parts.store.views.payload(known_form(job_id))
    if payload is None:
        raise not_found(job_id)
    return Response(payload, media_type=media.JSON)


async def get_result(parts: TheParts, job_id: str) -> Response:
    """Give a completed job's result, byte for byte; 202 and the job while there is none, 409 if there never will be."""
    details = await read_details(parts.store, job_id)
    state = details.job.state
    if state not in FINAL_STATES:
        return Response(details_json(details), status_code=202, media_type=media.JSON)
    if state is not JobState.COMPLETED:
        raise StateConflict(f"the job has no result: it is {state}", state=state)
    if details.result is None:
        raise JobNotFound("the job's result is not kept any more")
    return Response(details.result, media_type=media.JSON)


async def get_log(parts: TheParts, job_id: str, asked: Annotated[LogQuery, Query()]) -> Response:
    """Give a job's log, one JSON object per line: at, level, message, attempt."""
    job = await read_job(parts.store, job_id)
    lines = await parts.store.views.log(job.job_id, asked.start)
    return Response(b"".join(line + b"\n" for line in lines), media_type=media.JSON_LINES)


async def cancel_job(request: Request, parts: TheParts, caller: TheCaller, job_id: str) -> Response:
    """Call a job off: at once if nobody holds it (200), else its worker is asked to stop (202).

    The body may say why: `{"why": "..."}`. A job that is cancelled already stays so (200); one that has completed or
    failed is not changed (409).
    """
    wish, who = await _wish(request, parts), caller.called(WHO)
    [word] = await parts.store.jobs.cancel([CancelAsk(known_form(job_id), who, wish.why)])
    if word is CancelWord.NOT_FOUND:
        raise not_found(job_id)
    details = await read_details(parts.store, job_id)
    status = 200
    match word:
        case CancelWord.CANCELLED:
            _log.info("job_cancelled", job_id=job_id, by=who)
        case CancelWord.ASKED:
            _log.info("job_asked_to_stop", job_id=job_id, by=who)
            status = 202
        case CancelWord.FINAL if details.job.state is not JobState.CANCELLED:
            raise StateConflict(f"the job has ended: it is {details.job.state}", state=details.job.state)
        case CancelWord.FINAL:
            pass
        case unreachable:
            assert_never(unreachable)
    return Response(details_json(details), status_code=status, media_type=media.JSON)


async def revive_job(parts: TheParts, caller: TheCaller, job_id: str) -> Response:
    """Let a failed or cancelled job run again, from the start: a new round of attempts."""
    [word] = await parts.store.jobs.revive([known_form(job_id)])
    if word is ReviveWord.NOT_FOUND:
        raise not_found(job_id)
    details = await read_details(parts.store, job_id)
    if word is ReviveWord.CONFLICT:
        state = details.job.state
        raise StateConflict(f"only a failed or cancelled job can be revived; this one is {state}", state=state)
    _log.info("job_revived", job_id=job_id, by=caller.called(WHO))
    return Response(details_json(details), media_type=media.JSON)


def _filter(asked: JobList) -> JobFilter:
    """Check names before they become part of a key."""
    if asked.state is not None and asked.state not in STATES:
        raise InvalidRequest(f"{asked.state!r} is not a state; there are {', '.join(STATES)}")
    if asked.job_type is not None and not is_job_type_name(asked.job_type):
        raise InvalidRequest("job_type is not the name of one")
    if asked.worker is not None and not is_job_id(asked.worker):
        raise InvalidRequest("worker is not the id of one")
    if asked.tag is not None and not asked.tag.isprintable():
        raise InvalidRequest("a tag has printable characters only")
    return JobFilter(state=asked.state, job_type=asked.job_type, tag=asked.tag, worker=asked.worker)


async def _wish(request: Request, parts: TheParts) -> Wish:
    headers = dict(request.scope["headers"])
    body = await read_body(headers, request.receive, parts.settings.small_body_limit_bytes)
    if not body:
        return Wish()
    media_type(headers, JSON_BODY)
    text = strict_json.decoded(body)
    try:
        wish = msgspec.json.decode(body, type=Wish)
    except (msgspec.DecodeError, RecursionError) as error:
        raise strict_json.malformed(error, text) from error
    if len(wish.why) > 1000 or not wish.why.isprintable():
        raise InvalidRequest("why has at most 1,000 printable characters", pointer="/why")
    return wish
