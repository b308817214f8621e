"""Turn what a caller wants done into the bytes of a submission; the payload goes out byte for byte as it was given."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json
from pydantic_core.core_schema import any_schema

from emp_core.errors import InvalidPayload, PayloadFault
from emp_core.finite import non_finite_pointers, refused_places
from emp_core.jobs import BATCH_LIMIT, Backoff

Seconds = float | timedelta
"""A span of time: a number of seconds, or a timedelta."""

BATCH_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RawJson:
    """A payload that is JSON text already; it is sent as it is."""

    text: bytes | str


class JobOptions(TypedDict, total=False):
    """The fields of `JobRequest` besides its type and payload, for `submit(job_type, payload, **options)`."""

    priority: int | None
    delay: Seconds | None
    run_at: datetime | None
    expires_in: Seconds | None
    expires_at: datetime | None
    timeout: Seconds | None
    progress_timeout: Seconds | None
    max_attempts: int | None
    backoff: Backoff | None
    on_worker_lost: str | None
    retention: Seconds | None
    tags: Sequence[str]
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to submit. What is None takes the default of the job type or of EMP.

    `payload` is a pydantic model, anything that JSON can say, or `RawJson`. `run_at` (an aware datetime) and `delay`
    exclude each other, and so do `expires_in`, which counts from when the job is due, and `expires_at` (an aware
    datetime). `on_worker_lost` is `retry` or `fail`. `idempotency_key` makes the submission repeatable
    for a day; the client makes one where it is None.
    """

    job_type: str
    payload: Any
    priority: int | None = None
    delay: Seconds | None = None
    run_at: datetime | None = None
    expires_in: Seconds | None = None
    expires_at: datetime | None = None
    timeout: Seconds | None = None
    progress_timeout: Seconds | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    on_worker_lost: str | None = None
    retention: Seconds | None = None
    tags: Sequence[str] = ()
    idempotency_key: str | None = None

    def keyed(self) -> JobRequest:
        """Give the same request with an idempotency key."""
        return self if self.idempotency_key is not None else replace(self, idempotency_key=secrets.token_hex(16))


def payload_bytes(payload: Any) -> bytes:
    """Write a payload as JSON.

    Raises:
        InvalidPayload: it cannot be written as JSON, as NaN and Infinity cannot, or a `RawJson` is not one JSON value.
    """
    if isinstance(payload, (bytes, bytearray, memoryview)):
        raise InvalidPayload("a payload of bytes is ambiguous: wrap JSON text in RawJson, or base64-encode a file")
    try:
        if isinstance(payload, RawJson):
            text = payload.text.encode() if isinstance(payload.text, str) else payload.text
            # Checked, since text such as `1, "priority": 5` would write itself into the envelope.
            msgspec.json.decode(text, type=msgspec.Raw)
            return text
        if isinstance(payload, BaseModel):
            written, schema = payload.model_dump_json(by_alias=True).encode(), payload.__pydantic_core_schema__
        else:
            written, schema = to_json(payload, by_alias=True), any_schema()
        pointers = non_finite_pointers(payload, written, schema, by_alias=True)
    except (msgspec.DecodeError, PydanticSerializationError, UnicodeError, ValueError) as error:
        raise InvalidPayload(f"the payload cannot be sent as JSON: {error}") from error
    if pointers:
        faults = [PayloadFault(pointer, "NaN and Infinity have no JSON") for pointer in pointers]
        raise InvalidPayload(f"the payload cannot be sent as JSON: {refused_places(pointers)}", faults=faults)
    return written


def _seconds(span: Seconds) -> float:
    return span.total_seconds() if isinstance(span, timedelta) else span


def _options(request: JobRequest) -> Iterator[tuple[str, Any]]:
    yield "priority", request.priority
    yield "max_attempts", request.max_attempts
    yield "on_worker_lost", request.on_worker_lost
    for name in ("delay", "expires_in", "timeout", "progress_timeout", "retention"):
        span: Seconds | None = getattr(request, name)
        yield name, None if span is None else _seconds(span)
    for name in ("run_at", "expires_at"):
        moment: datetime | None = getattr(request, name)
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name} has no time zone: give an aware datetime, such as datetime.now(UTC)")
        yield name, None if moment is None else moment.isoformat()
    if (backoff := request.backoff) is not None:
        base, cap = backoff.base.total_seconds(), backoff.cap.total_seconds()
        yield "backoff", {"base": base, "factor": backoff.factor, "cap": cap, "jitter": backoff.jitter}
    yield "tags", list(request.tags) or None


def envelope(request: JobRequest, *, keyed: bool = False) -> bytes:
    """Write the body that submits one job; `keyed` puts the idempotency key inside, as a batch wants it.

    Raises:
        InvalidPayload: the payload cannot be written as JSON.
    """
    members = {name: value for name, value in _options(request) if value is not None}
    if keyed:
        members["idempotency_key"] = request.idempotency_key
    head = json.dumps({"job_type": request.job_type, **members}, separators=(",", ":"), allow_nan=False)
    return b'%s,"payload":%s}' % (head[:-1].encode(), payload_bytes(request.payload))


def chunks(envelopes: Iterable[bytes], *, items: int = BATCH_LIMIT, size: int = BATCH_BYTES) -> Iterator[list[bytes]]:
    """Cut submissions into batches of at most so many items and bytes; a single one over the size goes alone."""
    batch: list[bytes] = []
    length = 2
    for line in envelopes:
        if batch and (len(batch) == items or length + len(line) > size):
            yield batch
            batch, length = [], 2
        batch.append(line)
        length += len(line) + 1
    if batch:
        yield batch
