"""What each operation of the API takes and answers besides its parameters, as data for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from emp_core import errors
from emp_core.errors import EmpError
from emp_core.ids import JOB_ID_PATTERN, JOB_TYPE_PATTERN
from emp_server import documents as d
from emp_server.envelope import BatchItem, Envelope
from emp_server.media import EVENT_STREAM, HTML, JSON, JSON_LINES, JSON_SCHEMA, PROMETHEUS

Struct = type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its media type, and its schema where it has one (a struct, or JSON Schema)."""

    media_type: str = JSON
    schema: Struct | Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """The answers of an operation by status, its problems beyond those of every operation, and its body.

    `headers` (of `HEADERS`) and `links` (of `LINKS`) belong to every answer that is no problem.
    """

    answers: Mapping[int, tuple[str, Content | None]]
    problems: tuple[type[EmpError], ...] = ()
    body: tuple[Content, ...] = ()
    body_required: bool = True
    parameters: tuple[Mapping[str, Any], ...] = field(default=())
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


ALWAYS: Final = (
    errors.InvalidRequest,
    errors.Unauthenticated,
    errors.NotAllowed,
    errors.ScopeMissing,
    errors.TooSlow,
    errors.HeadTooLarge,
    errors.InternalError,
    errors.StoreUnavailable,
)

_BODY: Final = (errors.TooLarge, errors.UnsupportedMediaType, errors.Overloaded)
_SUBMIT: Final = (
    *_BODY,
    errors.UnknownJobType,
    errors.InvalidPayload,
    errors.IdempotencyKeyReused,
    errors.StateConflict,
    errors.WaitingLineFull,
    errors.RateLimited,
    errors.StoreFull,
)
_JOB: Final = Content(schema=d.JobAnswer)
_TYPE: Final = Content(schema=d.JobTypeAnswer)
_ANY: Final = Content()

_WISH: Final = {
    "type": "object",
    "properties": {"why": {"type": "string", "maxLength": 1000, "description": "printable characters"}},
    "additionalProperties": False,
}

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "makes the submission repeatable for a day: the same request again is answered with the first job",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N` holds the answer back until the job ends or N seconds have passed (RFC 7240)",
    "schema": {"type": "string"},
}
WAIT: Final = {
    "name": "wait",
    "in": "query",
    "description": "seconds to hold the answer back until the job ends",
    "schema": {"type": "number", "minimum": 0},
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "an `ETag` of before: 304 if nothing has changed since",
    "schema": {"type": "string"},
}
PATH_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "job_id": {"description": "a job's id", "schema": {"type": "string", "pattern": JOB_ID_PATTERN}},
    "job_type": {"description": "a job type's name", "schema": {"type": "string", "pattern": JOB_TYPE_PATTERN}},
    "worker_id": {"description": "a worker's id", "schema": {"type": "string", "pattern": JOB_ID_PATTERN}},
}
"""What stands in braces in the paths."""

HEADERS: Final[Mapping[str, str]] = {
    "ETag": "names what is shown, for If-None-Match",
    "Link": "with rel=next, leads to the next page; left out on the last one",
    "Location": "leads to the job",
    "Preference-Applied": "the part of `Prefer` that was honoured",
    "RateLimit": "how many jobs the API key may still submit now; only where a rate applies",
    "RateLimit-Policy": "how many jobs the API key may submit a second; only where a rate applies",
    "Retry-After": "seconds after which to try again",
    "WWW-Authenticate": "what to show (RFC 6750)",
}
"""What the headers of answers say."""


def _links(parameter: str, source: str, operations: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    of_list = "_listed" if "/0/" in source else ""
    return {
        f"{name}{of_list}": {"operationId": name, "parameters": {parameter: f"$response.body#{source}"}}
        for name in operations
    }


_JOB_LINKS: Final = _links(
    "job_id",
    "/id",
    ("get_job", "get_payload", "get_result", "get_log", "job_events", "cancel_job", "revive_job"),
)
_JOB_OF_LIST_LINKS: Final = _links("job_id", "/jobs/0/id", ("get_job", "get_payload", "get_result", "cancel_job"))
_TYPE_LINKS: Final = _links(
    "job_type",
    "/job_types/0/job_type",
    ("get_job_type", "get_schema", "validate_payload", "pause_job_type", "resume_job_type", "submit_typed_job"),
)
_WORKER_LINKS: Final = _links("worker_id", "/workers/0/id", ("get_worker", "drain_worker"))
LINKS: Final[Mapping[str, Mapping[str, Any]]] = {**_JOB_LINKS, **_JOB_OF_LIST_LINKS, **_TYPE_LINKS, **_WORKER_LINKS}
"""Where an answer leads: what to do next with the job, the type or the worker in it."""

SUBMITTED: Final = {
    202: ("Stored; `Location` leads to the job", _JOB),
    200: ("Stored, waited for, and ended", _JOB),
}
SUBMIT: Final = Operation(
    SUBMITTED,
    _SUBMIT,
    (Content(schema=Envelope),),
    parameters=(IDEMPOTENCY_KEY, PREFER, WAIT),
    headers=("Location", "Preference-Applied", "RateLimit", "RateLimit-Policy"),
    links=tuple(_JOB_LINKS),
)
SUBMIT_TYPED: Final = replace(SUBMIT, body=(_ANY,))

OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_jobs": Operation(
        {200: ("A page", Content(schema=d.JobPageAnswer))}, headers=("Link",), links=tuple(_JOB_OF_LIST_LINKS)
    ),
    "submit_batch": Operation(
        {200: ("One line per item, in order: the job or the problem", Content(JSON_LINES, d.BatchItemAnswer))},
        (*_BODY, errors.WaitingLineFull, errors.RateLimited, errors.StoreFull),
        (Content(JSON, {"type": "array", "items": BatchItem}), Content(JSON_LINES, BatchItem)),
        headers=("RateLimit", "RateLimit-Policy"),
    ),
    "get_job": Operation(
        {200: ("The job", _JOB), 304: ("Not changed since the ETag in If-None-Match", None)},
        (errors.JobNotFound,),
        parameters=(PREFER, IF_NONE_MATCH),
        headers=("ETag", "Preference-Applied"),
        links=tuple(_JOB_LINKS),
    ),
    "get_payload": Operation({200: ("The payload", _ANY)}, (errors.JobNotFound,)),
    "get_result": Operation(
        {200: ("The result", _ANY), 202: ("There is none yet: the job", _JOB)},
        (errors.JobNotFound, errors.StateConflict),
    ),
    "get_log": Operation({200: ("The log", Content(JSON_LINES))}, (errors.JobNotFound,)),
    "job_events": Operation({200: ("The events", Content(EVENT_STREAM))}, (errors.JobNotFound, errors.TooManyStreams)),
    "cancel_job": Operation(
        {200: ("Cancelled", _JOB), 202: ("Its worker has been asked", _JOB)},
        (*_BODY, errors.JobNotFound, errors.StateConflict, errors.StoreFull),
        (Content(schema=_WISH),),
        body_required=False,
    ),
    "revive_job": Operation(
        {200: ("Pending again", _JOB)}, (errors.JobNotFound, errors.StateConflict, errors.StoreFull)
    ),
    "list_job_types": Operation({200: ("The job types", Content(schema=d.JobTypesAnswer))}, links=tuple(_TYPE_LINKS)),
    "get_job_type": Operation({200: ("The job type", _TYPE)}, (errors.UnknownJobType,)),
    "get_schema": Operation({200: ("The schema", Content(JSON_SCHEMA))}, (errors.UnknownJobType,)),
    "validate_payload": Operation(
        {204: ("It fits", None)},
        (*_BODY, errors.UnknownJobType, errors.InvalidPayload, errors.RateLimited),
        (_ANY,),
        headers=("RateLimit", "RateLimit-Policy"),
    ),
    "pause_job_type": Operation({200: ("Paused", _TYPE)}, (errors.UnknownJobType, errors.StoreFull)),
    "resume_job_type": Operation({200: ("Resumed", _TYPE)}, (errors.UnknownJobType, errors.StoreFull)),
    "list_workers": Operation({200: ("The workers", Content(schema=d.WorkersAnswer))}, links=tuple(_WORKER_LINKS)),
    "get_worker": Operation({200: ("The worker", Content(schema=d.WorkerAnswer))}, (errors.WorkerNotFound,)),
    "drain_worker": Operation(
        {202: ("It has been asked", Content(schema=d.WorkerAnswer))}, (errors.WorkerNotFound, errors.StoreFull)
    ),
    "whoami": Operation({200: ("Whose key it is", Content(schema=d.WhoamiAnswer))}),
    "get_stats": Operation({200: ("The counts", Content(schema=d.StatsAnswer))}),
    "all_events": Operation({200: ("The events", Content(EVENT_STREAM))}, (errors.TooManyStreams,)),
    "metrics": Operation({200: ("The metrics", Content(PROMETHEUS))}),
    "livez": Operation({200: ("It lives", Content(schema=d.HealthAnswer))}),
    "readyz": Operation({200: ("It is ready", Content(schema=d.HealthAnswer))}),
    "openapi": Operation(
        {200: ("This document", Content(schema={"type": "object"})), 304: ("Not changed since the ETag", None)},
        parameters=(IF_NONE_MATCH,),
        headers=("ETag",),
    ),
    "docs": Operation({200: ("A page", Content(HTML))}),
}
"""By the name of the route's function, which is also its operationId."""
