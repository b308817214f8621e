"""What each operation of the API takes and answers besides its parameters, as data for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from emp_core import errors
from emp_core.errors import EmpError
from emp_server import documents as d
from emp_server.envelope import BatchItem, Envelope
from emp_server.media import EVENT_STREAM, HTML, JSON, JSON_LINES, JSON_SCHEMA

Struct = type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its media type, and its schema where it has one (a struct, or JSON Schema)."""

    media_type: str = JSON
    schema: Struct | Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """The answers of an operation by status, its problems beyond those of every operation, and its body."""

    answers: Mapping[int, tuple[str, Content | None]]
    problems: tuple[type[EmpError], ...] = ()
    body: tuple[Content, ...] = ()
    body_required: bool = True
    parameters: tuple[Mapping[str, Any], ...] = field(default=())


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

_BODY: Final = (errors.TooLarge, errors.UnsupportedMediaType)
_SUBMIT: Final = (
    *_BODY,
    errors.UnknownJobType,
    errors.InvalidPayload,
    errors.IdempotencyKeyReused,
    errors.StateConflict,
    errors.WaitingLineFull,
    errors.RateLimited,
    errors.StoreFull,
    errors.Overloaded,
)
_JOB: Final = Content(schema=d.JobAnswer)
_TYPE: Final = Content(schema=d.JobTypeAnswer)
_ANY: Final = Content()

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

SUBMITTED: Final = {
    202: ("Stored; `Location` leads to the job", _JOB),
    200: ("Stored, waited for, and ended", _JOB),
}
SUBMIT: Final = Operation(SUBMITTED, _SUBMIT, (Content(schema=Envelope),), parameters=(IDEMPOTENCY_KEY, PREFER, WAIT))
SUBMIT_TYPED: Final = Operation(SUBMITTED, _SUBMIT, (_ANY,), parameters=(IDEMPOTENCY_KEY, PREFER, WAIT))

OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_jobs": Operation({200: ("A page", Content(schema=d.JobPageAnswer))}),
    "submit_batch": Operation(
        {200: ("One line per item, in order: the job or the problem", Content(JSON_LINES, d.BatchItemAnswer))},
        (*_BODY, errors.WaitingLineFull, errors.RateLimited, errors.StoreFull, errors.Overloaded),
        (Content(JSON, {"type": "array", "items": BatchItem}), Content(JSON_LINES, BatchItem)),
    ),
    "get_job": Operation(
        {200: ("The job", _JOB), 304: ("Not changed since the ETag in If-None-Match", None)},
        (errors.JobNotFound,),
        parameters=(PREFER,),
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
        (*_BODY, errors.JobNotFound, errors.StateConflict),
        (Content(schema={"type": "object", "properties": {"why": {"type": "string", "maxLength": 1000}}}),),
        body_required=False,
    ),
    "revive_job": Operation({200: ("Pending again", _JOB)}, (errors.JobNotFound, errors.StateConflict)),
    "list_job_types": Operation({200: ("The job types", Content(schema=d.JobTypesAnswer))}),
    "get_job_type": Operation({200: ("The job type", _TYPE)}, (errors.UnknownJobType,)),
    "get_schema": Operation({200: ("The schema", Content(JSON_SCHEMA))}, (errors.UnknownJobType,)),
    "validate_payload": Operation(
        {204: ("It fits", None)}, (*_BODY, errors.UnknownJobType, errors.InvalidPayload), (_ANY,)
    ),
    "pause_job_type": Operation({200: ("Paused", _TYPE)}, (errors.UnknownJobType,)),
    "resume_job_type": Operation({200: ("Resumed", _TYPE)}, (errors.UnknownJobType,)),
    "list_workers": Operation({200: ("The workers", Content(schema=d.WorkersAnswer))}),
    "get_worker": Operation({200: ("The worker", Content(schema=d.WorkerAnswer))}, (errors.WorkerNotFound,)),
    "drain_worker": Operation({202: ("It has been asked", Content(schema=d.WorkerAnswer))}, (errors.WorkerNotFound,)),
    "whoami": Operation({200: ("Whose key it is", Content(schema=d.WhoamiAnswer))}),
    "get_stats": Operation({200: ("The counts", Content(schema=d.StatsAnswer))}),
    "all_events": Operation({200: ("The events", Content(EVENT_STREAM))}, (errors.TooManyStreams,)),
    "livez": Operation({200: ("It lives", Content(schema=d.HealthAnswer))}),
    "readyz": Operation({200: ("It is ready", Content(schema=d.HealthAnswer))}),
    "openapi": Operation({200: ("This document", _ANY)}),
    "docs": Operation({200: ("A page", Content(HTML))}),
}
"""By the name of the route's function, which is also its operationId."""
