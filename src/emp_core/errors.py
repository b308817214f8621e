"""Every error that EMP raises on purpose, in one tree.

EmpError
|-- RequestError                what a client sent cannot be done
|   |-- InvalidRequest          400  the request is malformed
|   |-- Unauthenticated         401  an API key is asked for, and none that counts was shown
|   |-- NotAllowed              403  the request comes from where it may not
|   |   `-- ScopeMissing             the API key does not allow this
|   |-- NotFound                404
|   |   |-- JobNotFound
|   |   |-- UnknownJobType
|   |   `-- WorkerNotFound
|   |-- MethodNotAllowed        405
|   |-- StateConflict           409  the job's state does not allow it
|   |-- TooSlow                 408  the client sends, or reads, too slowly
|   |-- TooLarge                413  body, payload or batch over its limit
|   |-- UnsupportedMediaType    415
|   |-- InvalidPayload          422  the payload does not fit the job type's schema
|   |-- IdempotencyKeyReused    422  the key was used for another request
|   |-- WaitingLineFull         429  too many jobs wait, of this type or in all
|   |-- RateLimited             429  this key has submitted too much just now
|   |-- TooManyStreams          429  this client has too many open streams
|   `-- HeadTooLarge            431  the head of the request is over its limit
|-- Overloaded                  503  the server has as much to do as it can
|-- StoreError
|   |-- StoreUnavailable        503  cannot be reached, or cannot answer now
|   `-- StoreFull               507  its memory or disk is full
|-- InternalError               500  a fault of EMP itself
|-- Unreachable                 the client cannot reach the server
|-- WaitTimedOut                the client waited as long as it was told to
|-- SettingsError               a setting is wrong; the process does not start
|-- StoreUnfit                  the store's own configuration would lose jobs; the process does not start
`-- EmbeddedStoreError          the embedded store cannot be started

An error with a status is answered over HTTP as a problem (RFC 9457) whose `type` ends in its `problem` name; the client
turns the problem back into the same class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


class EmpError(Exception):
    """The root: catch it to catch all that EMP raises on purpose."""

    problem: ClassVar[str] = ""
    status: ClassVar[int] = 0
    title: ClassVar[str] = ""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def members(self) -> dict[str, Any]:
        """Give what the problem answer carries besides type, title, status and detail."""
        return {}


class RequestError(EmpError):
    """What a client sent cannot be done; sending the same again will not help."""


class InvalidRequest(RequestError):
    """The request is malformed; `pointer` (RFC 6901) names the place in the body where there is one. Correct it."""

    problem, status, title = "invalid-request", 400, "The request is malformed"

    def __init__(self, detail: str, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.pointer = pointer

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {} if self.pointer is None else {"errors": [{"pointer": self.pointer, "message": self.detail}]}


class Unauthenticated(RequestError):
    """An API key is asked for, and the request shows none, or one that is unknown, revoked or expired.

    Send `Authorization: Bearer emp_...`; commands take the key from `EMP_API_KEY` or `emp login`.
    """

    problem, status, title = "unauthenticated", 401, "An API key is needed"


class NotAllowed(RequestError):
    """The request comes from a host or page that may not send it. Use an address that the server is known by."""

    problem, status, title = "not-allowed", 403, "This request is not allowed"


class ScopeMissing(NotAllowed):
    """The API key lacks the scope that this asks for; `scope` names it. Use a key that has it."""

    problem, title = "scope-missing", "The API key does not allow this"

    def __init__(self, detail: str, *, scope: str = "") -> None:
        super().__init__(detail)
        self.scope = scope

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"scope": self.scope}


class NotFound(RequestError):
    """There is nothing at this address."""

    problem, status, title = "not-found", 404, "Not found"


class JobNotFound(NotFound):
    """No job has this id: it never existed, or its retention is over."""

    problem, title = "job-not-found", "No such job"


class UnknownJobType(NotFound):
    """No worker has announced this job type; `near` holds names like it. Install its plugin and start a worker."""

    problem, title = "unknown-job-type", "No such job type"

    def __init__(self, detail: str, *, near: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.near = tuple(near)

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"near": list(self.near)}


class WorkerNotFound(NotFound):
    """No worker has this id now."""

    problem, title = "worker-not-found", "No such worker"


class MethodNotAllowed(RequestError):
    """The address exists, the method does not. The `Allow` header names those that do."""

    problem, status, title = "method-not-allowed", 405, "Method not allowed"


class StateConflict(RequestError):
    """The job's state does not allow this; `state` names it."""

    problem, status, title = "state-conflict", 409, "The job's state does not allow this"

    def __init__(self, detail: str, *, state: str = "") -> None:
        super().__init__(detail)
        self.state = state

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"state": self.state}


class TooLarge(RequestError):
    """A body, payload or batch is over its limit of `limit` (bytes or items). Send less at once."""

    problem, status, title = "too-large", 413, "Too large"

    def __init__(self, detail: str, *, limit: int = 0) -> None:
        super().__init__(detail)
        self.limit = limit

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"limit": self.limit}


class TooSlow(RequestError):
    """The request did not come in time: its head or its body stood still. Send it again, faster."""

    problem, status, title = "too-slow", 408, "The request came too slowly"


class HeadTooLarge(RequestError):
    """The request line and headers are over their limit. Send less in headers and in the query."""

    problem, status, title = "head-too-large", 431, "The head of the request is too large"


class UnsupportedMediaType(RequestError):
    """The body's media type or encoding is not one that this address reads. Send JSON, not compressed."""

    problem, status, title = "unsupported-media-type", 415, "Unsupported media type"


@dataclass(frozen=True, slots=True)
class PayloadFault:
    """One thing wrong with a payload: where (a JSON pointer, RFC 6901; empty for the whole), and what."""

    pointer: str
    message: str


class InvalidPayload(RequestError):
    """The payload does not fit the job type's schema; `faults` names each place."""

    problem, status, title = "invalid-payload", 422, "The payload does not fit the job type's schema"

    def __init__(self, detail: str, *, faults: Sequence[PayloadFault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"errors": [{"pointer": fault.pointer, "message": fault.message} for fault in self.faults]}


class IdempotencyKeyReused(RequestError):
    """This idempotency key was used for another request within the last day. Use a new key for a new request."""

    problem, status, title = "idempotency-key-reused", 422, "The idempotency key was used for another request"


class WaitingLineFull(RequestError):
    """As many jobs wait as may, of this type or in all. Try again after `retry_after` seconds, or add workers."""

    problem, status, title = "waiting-line-full", 429, "Too many jobs wait"
    retry_after: ClassVar[int] = 5


class RateLimited(RequestError):
    """This API key has submitted more than its `limit` a second. Try again after `retry_after` seconds."""

    problem, status, title = "rate-limited", 429, "Too many submissions just now"

    def __init__(self, detail: str, *, limit: int = 0, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after = retry_after

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"limit": self.limit}


class TooManyStreams(RequestError):
    """This client has as many open streams as it may. Close some, or follow many jobs over `GET /v1/events`."""

    problem, status, title = "too-many-streams", 429, "Too many open streams"
    retry_after: ClassVar[int] = 5


class Overloaded(EmpError):
    """The server has as much to do as it can; it has done nothing. Try again after `retry_after` seconds."""

    problem, status, title = "overloaded", 503, "The server is overloaded"
    retry_after: ClassVar[int] = 1

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"outcome": "not_done"}


class StoreError(EmpError):
    """The store cannot do what was asked of it now; nothing is wrong with the request, and repeating it is safe.

    Args:
        detail: what happened, for people.
        code: the first word of the store's own error; empty where it said nothing.
        may_have_run: whether what was asked may have been carried out all the same.
    """

    def __init__(self, detail: str, *, code: str = "", may_have_run: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.may_have_run = may_have_run

    def of(self, *, may_have_run: bool) -> Self:
        """Give the same error of something larger that was asked, with what is known of that."""
        return type(self)(self.detail, code=self.code, may_have_run=may_have_run)

    def members(self) -> dict[str, Any]:  # noqa: D102
        return {"outcome": "unknown" if self.may_have_run else "not_done"}


class StoreUnavailable(StoreError):
    """The store cannot be reached or cannot answer now. Repeat the call; `outcome` says whether it may have run."""

    problem, status, title = "store-unavailable", 503, "The store is not available"
    retry_after: ClassVar[int] = 1


class StoreFull(StoreError):
    """The store's memory or disk is full. Give it room, or wait until retention made some."""

    problem, status, title = "store-full", 507, "The store is full"
    retry_after: ClassVar[int] = 10


class InternalError(EmpError):
    """A fault of EMP itself; the log has the traceback under the answer's `request_id`. Please report it."""

    problem, status, title = "internal-error", 500, "A fault of the server"


class Unreachable(EmpError):
    """The client cannot reach the server at its URL. Check `EMP_URL`, and that the server runs."""


class WaitTimedOut(EmpError):
    """The job had not ended when the time to wait was over; it goes on. Wait again, or watch it."""


class SettingsError(EmpError):
    """A flag, an `EMP_*` variable or a line of emp.toml is wrong; the message names it."""


class StoreUnfit(EmpError):
    """The store must not be worked on as it is configured; the message has the command that mends it."""


class EmbeddedStoreError(EmpError):
    """The embedded store cannot be started; the message says what to install or to free."""


def _walk(root: type[EmpError]) -> Iterator[type[EmpError]]:
    yield root
    for child in root.__subclasses__():
        yield from _walk(child)


def problems() -> Mapping[str, type[EmpError]]:
    """Give the error class of each problem name."""
    return {error.problem: error for error in _walk(EmpError) if error.problem}
