"""Take a submission's body apart without building its payload: the payload stays the bytes that the client sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from emp_core.errors import InvalidRequest, TooLarge
from emp_core.jobs import MAX_ATTEMPTS_LIMIT, PRIORITY_MAX, PRIORITY_MIN, TAG_LENGTH, TAGS_LIMIT, OnWorkerLost
from emp_server import strict_json

Moment = int | float | str
"""A time in Unix seconds or ISO 8601 with its offset, or a duration in seconds or ISO 8601 (`PT1M30S`)."""

_DURATION: Final = "in seconds, or ISO 8601 (PT1M30S)"


class BackoffOption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait before another attempt: `base * factor**n` up to `cap`, give or take `jitter` of it."""

    base: Annotated[Moment | None, Meta(description=f"the first wait, {_DURATION}")] = None
    factor: Annotated[float, Meta(ge=1.0, le=100.0)] | None = None
    cap: Annotated[Moment | None, Meta(description=f"the longest wait, {_DURATION}")] = None
    jitter: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a job is to be performed. What is None takes the default of the job type, or of EMP."""

    priority: Annotated[
        Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] | None,
        Meta(description="higher is more urgent; 0 if not given"),
    ] = None
    run_at: Annotated[Moment | None, Meta(description="when it is due: Unix seconds, or ISO 8601 with an offset")] = (
        None
    )
    delay: Annotated[Moment | None, Meta(description=f"due so much later, {_DURATION}; not together with run_at")] = (
        None
    )
    expires_in: Annotated[
        Moment | None, Meta(description=f"it fails if no worker has claimed it so long after it was due, {_DURATION}")
    ] = None
    expires_at: Annotated[
        Moment | None,
        Meta(
            description="it fails if no worker has claimed it by then: Unix seconds, or ISO 8601 with an offset; "
            "not together with expires_in"
        ),
    ] = None
    timeout: Annotated[Moment | None, Meta(description=f"the longest time of an attempt, {_DURATION}")] = None
    progress_timeout: Annotated[
        Moment | None, Meta(description=f"the longest time of an attempt without a report of progress, {_DURATION}")
    ] = None
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS_LIMIT)] | None = None
    backoff: BackoffOption | None = None
    on_worker_lost: Annotated[
        OnWorkerLost | None,
        Meta(description="when the process that performs it dies: retry while attempts are left, or fail"),
    ] = None
    retention: Annotated[Moment | None, Meta(description=f"how long it is kept after its end, {_DURATION}")] = None
    tags: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=TAG_LENGTH)], ...],
        Meta(max_length=TAGS_LIMIT, description="printable characters; jobs can be listed by a tag"),
    ] = ()

    @property
    def asks_nothing(self) -> bool:
        """Whether a job is wanted as its type has it, but for its priority."""
        return (
            self.run_at is None
            and self.delay is None
            and self.expires_in is None
            and self.expires_at is None
            and self.timeout is None
            and self.progress_timeout is None
            and self.max_attempts is None
            and self.backoff is None
            and self.on_worker_lost is None
            and self.retention is None
            and not self.tags
        )


class Envelope(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a submission."""

    job_type: str
    payload: Annotated[msgspec.Raw, Meta(description="what the type's schema asks for; kept byte for byte")]


class BatchItem(Envelope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One submission of a batch."""

    idempotency_key: Annotated[str | None, Meta(description="makes this item repeatable for a day")] = None


EnvelopeT = TypeVar("EnvelopeT", bound=Envelope)

_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_envelope: Final = msgspec.json.Decoder(Envelope)
_batch_item: Final = msgspec.json.Decoder(BatchItem)
_raw: Final = msgspec.json.Decoder(msgspec.Raw)


def parse_envelope(body: bytes) -> Envelope:
    """Read the body of one submission.

    Raises:
        InvalidRequest: it is not an envelope; the error says where.
    """
    return _parse(body, _envelope)


def parse_batch_item(body: bytes) -> BatchItem:
    """Read one submission of a batch.

    Raises:
        InvalidRequest: it is not an envelope; the error says where.
    """
    return _parse(body, _batch_item)


def parse_payload(body: bytes) -> bytes:
    """Read a body that is a payload and nothing else.

    Raises:
        InvalidRequest: it is not JSON that EMP takes; the error says where.
    """
    text = strict_json.decoded(body)
    try:
        raw = _raw.decode(body)
    except _UNREADABLE as error:
        raise strict_json.malformed(error, text) from error
    strict_json.refuse_depth(body)
    return bytes(raw)


def parse_options(query: Mapping[str, Any]) -> Options:
    """Read options from the text values of a query; `backoff` is a JSON object there.

    Raises:
        InvalidRequest: an option is unknown or has the wrong form.
    """
    values = dict(query)
    try:
        if "backoff" in values:
            values["backoff"] = msgspec.json.decode(values["backoff"], type=BackoffOption)
        return msgspec.convert(values, Options, strict=False)
    except _UNREADABLE as error:
        raise InvalidRequest(f"the query: {strict_json.malformed(error).detail}") from error


def split_batch(body: bytes, limit: int, *, lines: bool) -> list[bytes]:
    """Cut a batch into its items: a JSON array, or one item per line. Empty lines are passed over, but counted.

    Raises:
        InvalidRequest: it is empty, or not an array. A line that is not JSON is the affair of that item.
        TooLarge: it has more items than the limit; the rest of it was not cut.
    """
    strict_json.refuse_empty(body)
    items = body.split(b"\n", limit) if lines else _elements(body, limit)
    if len(items) > limit and items[limit].strip():
        raise TooLarge(f"the batch has more than {limit} items", limit=limit)
    return [item for item in items if item.strip()]


def _elements(body: bytes, limit: int) -> list[bytes]:
    """Cut a JSON array; at most one element over the limit is given."""
    try:
        elements = msgspec.structs.astuple(_array_decoder(limit + 1).decode(body))
    except _UNREADABLE as error:
        raise strict_json.malformed(error) from error
    return [bytes(element) for element in elements if element is not None]


@cache
def _array_decoder(length: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Give a decoder that builds the first elements of an array and steps over the rest.

    A decoder of a list would first build all of them: millions, where each is a single digit.
    """
    fields = [(f"element_{at}", msgspec.Raw, None) for at in range(length)]
    return msgspec.json.Decoder(msgspec.defstruct("FirstElements", fields, array_like=True))


_SPACE: Final = rb"[ \t\n\r]*"
_PLAIN_HEAD: Final = re.compile(
    _SPACE.join((b"", rb"\{", b'"job_type"', b":", rb'"[^"\\]*"', b",", b'"payload"', b":", b""))
)
_PRIORITY: Final = _SPACE.join((b",", b'"priority"', b":", b"-?[0-9]+", b""))
_PLAIN_END: Final = re.compile(_SPACE.join((b"", b"(?:" + _PRIORITY + rb")?\}", b"")))


def _is_plain(body: bytes, payload: bytes) -> bool:
    """Tell whether a well-formed envelope is of the form that most are: nothing can come twice in it."""
    head = _PLAIN_HEAD.match(body)
    if head is None or not body.startswith(payload, head.end()):
        return False
    return _PLAIN_END.fullmatch(body, head.end() + len(payload)) is not None


def _parse(body: bytes, decoder: msgspec.json.Decoder[EnvelopeT]) -> EnvelopeT:
    # What is ASCII needs no other look at its bytes; that it is empty is seen below.
    text = "" if body.isascii() else strict_json.decoded(body)
    try:
        envelope = decoder.decode(body)
    except _UNREADABLE as error:
        raise strict_json.malformed(error, strict_json.decoded(body)) from error
    payload = bytes(envelope.payload)
    repeated = None
    if not _is_plain(body, payload):
        repeated = strict_json.repeated_key(text or body.decode(), "payload", payload.decode())
    if repeated is not None:
        at = strict_json.pointer(repeated)
        raise InvalidRequest(
            f"the key {strict_json.shortened(repeated)!r} comes twice, or holds one that does", pointer=at
        )
    strict_json.refuse_depth(body)
    return envelope
