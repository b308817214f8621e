"""What a job is: its states, the moves between them as data, and the values that pass between the parts. No I/O.

Lua scripts carry the moves out (one file per verb under `store/lua`); a test holds them and TRANSITIONS together.

What is made for every job is a msgspec Struct: a frozen dataclass of 15 fields takes as long to make as all else that a
submission costs in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from emp_core.ids import JobId, WorkerId


class JobState(StrEnum):
    """Where a job stands."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATES: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
WAITING_STATES: Final = frozenset({JobState.SCHEDULED, JobState.PENDING})
RUNNING_STATES: Final = frozenset({JobState.CLAIMED, JobState.IN_PROGRESS})


class Reason(StrEnum):
    """Why a job failed, or why an attempt ended without a result."""

    ERROR = "error"
    TIMEOUT = "timeout"
    EXPIRED = "expired"
    WORKER_LOST = "worker_lost"
    POISONED = "poisoned"
    INTERRUPTED = "interrupted"
    INVALID_PAYLOAD = "invalid_payload"
    INVALID_RESULT = "invalid_result"
    RESULT_TOO_LARGE = "result_too_large"


class OnWorkerLost(StrEnum):
    """What becomes of a claimed job when the process that performs it dies, a worker or a child of it."""

    RETRY = "retry"
    """It runs again while attempts are left."""
    FAIL = "fail"
    """It fails: how far its handler got is not known."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal move: the verb that makes it, and the states it leads from and to (None: the job does not exist)."""

    verb: str
    source: JobState | None
    target: JobState | None


_S = JobState

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition("submit", None, _S.PENDING),
    Transition("submit", None, _S.SCHEDULED),
    Transition("promote", _S.SCHEDULED, _S.PENDING),
    Transition("claim", _S.PENDING, _S.CLAIMED),
    Transition("start", _S.CLAIMED, _S.IN_PROGRESS),
    Transition("complete", _S.IN_PROGRESS, _S.COMPLETED),
    Transition("fail", _S.CLAIMED, _S.FAILED),
    Transition("fail", _S.IN_PROGRESS, _S.FAILED),
    Transition("retry", _S.CLAIMED, _S.SCHEDULED),
    Transition("retry", _S.IN_PROGRESS, _S.SCHEDULED),
    Transition("release", _S.CLAIMED, _S.PENDING),
    Transition("release", _S.CLAIMED, _S.SCHEDULED),
    Transition("release", _S.IN_PROGRESS, _S.PENDING),
    Transition("release", _S.IN_PROGRESS, _S.SCHEDULED),
    Transition("cancel", _S.SCHEDULED, _S.CANCELLED),
    Transition("cancel", _S.PENDING, _S.CANCELLED),
    Transition("cancel", _S.CLAIMED, _S.CANCELLED),
    Transition("cancel", _S.IN_PROGRESS, _S.CANCELLED),
    Transition("expire", _S.SCHEDULED, _S.FAILED),
    Transition("expire", _S.PENDING, _S.FAILED),
    Transition("recover", _S.CLAIMED, _S.PENDING),
    Transition("recover", _S.CLAIMED, _S.FAILED),
    Transition("recover", _S.IN_PROGRESS, _S.PENDING),
    Transition("recover", _S.IN_PROGRESS, _S.FAILED),
    Transition("revive", _S.FAILED, _S.PENDING),
    Transition("revive", _S.CANCELLED, _S.PENDING),
    Transition("retain", _S.COMPLETED, None),
    Transition("retain", _S.FAILED, None),
    Transition("retain", _S.CANCELLED, None),
)
"""The state machine.

A verb that meets a cancel request (retry, fail, release, recover) makes cancel's move instead. A verb that ends an
attempt whose handler was called makes start's move first, if the job is still claimed. A claim that meets an expired
job makes expire's move.
"""

PRIORITY_MIN: Final = -1000
PRIORITY_MAX: Final = 1000
MAX_ATTEMPTS_DEFAULT: Final = 3
MAX_ATTEMPTS_LIMIT: Final = 1000
PAYLOAD_LIMIT: Final = 16 * 1024 * 1024
RESULT_LIMIT: Final = 16 * 1024 * 1024
HANDLE_LIMIT: Final = 4 * 1024
LOSSES_UNTIL_POISONED: Final = 3
"""Losses after which a job is not tried again; prelude.lua has the same number."""
TAGS_LIMIT: Final = 16
TAG_LENGTH: Final = 64
BATCH_LIMIT: Final = 1000
LONGEST_DELAY: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before attempt n + 1: `base * factor**(n - 1)` up to `cap`, give or take `jitter` of it."""

    base: timedelta = timedelta(seconds=2)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)
    jitter: float = 0.2

    def delay(self, attempt: int, unit: float) -> timedelta:
        """Give the wait after the attempt of this number (from 1); `unit` is a random number from 0.0 to 1.0."""
        cap = self.cap.total_seconds()
        try:
            capped = min(self.base.total_seconds() * self.factor ** (attempt - 1), cap)
        except OverflowError:  # a large factor, many attempts: beyond any cap
            capped = cap
        return timedelta(seconds=capped * (1 + self.jitter * (2 * unit - 1)))


class Submission(Struct, frozen=True):
    """A job on its way into the store. What is None takes the default of the job type or of EMP.

    `payload` is the JSON text that the client sent, in bytes. `run_at` and `delay` exclude each other, and so do
    `expires_in`, which counts from when the job is due, and `expires_at`. `owner` is the id of the API key that
    submitted it. `trace` is the trace context that the job carries (see `emp_core.tracing.context`), or empty.
    """

    job_id: JobId
    job_type: str
    payload: bytes
    priority: int = 0
    run_at: datetime | None = None
    delay: timedelta | None = None
    expires_in: timedelta | None = None
    timeout: timedelta | None = None
    progress_timeout: timedelta | None = None
    max_attempts: int = MAX_ATTEMPTS_DEFAULT
    backoff: Backoff | None = None
    retention: timedelta | None = None
    tags: tuple[str, ...] = ()
    schema_digest: str = ""
    idempotency: Idempotency | None = None
    owner: str = ""
    trace: str = ""
    expires_at: datetime | None = None
    on_worker_lost: OnWorkerLost = OnWorkerLost.RETRY


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What makes a submission repeatable: whose key, which key, and a digest of the request it stands for."""

    scope: str
    key: str
    digest: str


class ClaimedJob(Struct, frozen=True):
    """What a worker gets with a claim. `token` must come back with every write about this attempt.

    `losses` counts the processes that died while they ran this job; `is_suspect` says that one more may have been
    running it. `handle` is the JSON text that an attempt has saved, `trace` the trace context that the job carries;
    either may be empty.
    """

    job_id: JobId
    job_type: str
    payload: bytes
    token: str
    attempt: int
    max_attempts: int
    priority: int
    losses: int
    schema_digest: str
    refusals: int
    timeout: timedelta | None
    progress_timeout: timedelta | None
    backoff: Backoff | None
    handle: bytes = b""
    trace: str = ""
    is_suspect: bool = False
    on_worker_lost: OnWorkerLost = OnWorkerLost.RETRY

    @property
    def is_in_doubt(self) -> bool:
        """Whether the job may end the process that runs it: it runs in a child, and its start is confirmed first."""
        return self.losses > 0 or self.is_suspect


class Completed(Struct, frozen=True):
    """The handler returned; `result` is the JSON text of what it returned."""

    job_id: JobId
    token: str
    result: bytes


class Failed(Struct, frozen=True):
    """The job ends here without a result; `error` is a JSON object: message, and maybe kind, code, traceback.

    `is_loss` says that the child process that ran the handler has died, which counts as a loss.
    """

    job_id: JobId
    token: str
    reason: Reason
    error: bytes
    is_loss: bool = False


class Retry(Struct, frozen=True):
    """This attempt failed and another one follows after `delay`; `is_loss` as in `Failed`."""

    job_id: JobId
    token: str
    reason: Reason
    error: bytes
    delay: timedelta
    is_loss: bool = False


class Released(Struct, frozen=True):
    """The worker gives the job back and the attempt is not charged.

    With a `delay` it is a refusal, which is counted: this worker's version of the job type does not accept the payload.
    """

    job_id: JobId
    token: str
    delay: timedelta | None = None


class Cancelled(Struct, frozen=True):
    """The handler has stopped because somebody asked for it."""

    job_id: JobId
    token: str


Outcome = Completed | Failed | Retry | Released | Cancelled


class Started(Struct, frozen=True):
    """The handler of a claimed job was called `begun_ago` milliseconds ago, in the worker's process or in a child."""

    job_id: JobId
    token: str
    begun_ago: int = 0
    in_child: bool = False


class Report(Struct, frozen=True):
    """What a running handler has said since the last report: how far it is, and its new log lines (JSON objects).

    `log_from` is how many lines of this attempt were sent before, so that a report may be repeated.
    """

    job_id: JobId
    token: str
    fraction: float | None = None
    message: str | None = None
    log: tuple[bytes, ...] = ()
    log_from: int = 0


@dataclass(frozen=True, slots=True)
class Handle:
    """What a handler keeps for later attempts: JSON text of at most `HANDLE_LIMIT` bytes; empty takes it away."""

    job_id: JobId
    token: str
    value: bytes


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Who asked to call a job off, when and why."""

    by: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt: its number, who made it, when, and how it ended. `error` is a JSON object or None."""

    number: int
    worker_id: WorkerId
    claimed_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    reason: str | None
    error: bytes | None
    plugin_version: str = ""


class Job(Struct, frozen=True):
    """A job as the store holds it, without its payload and result. Times are UTC."""

    job_id: JobId
    job_type: str
    state: JobState
    priority: int
    attempt: int
    max_attempts: int
    created_at: datetime
    losses: int = 0
    round: int = 1
    fraction: float = 0.0
    message: str = ""
    reason: Reason | None = None
    worker_id: WorkerId | None = None
    scheduled_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    tags: tuple[str, ...] = ()
    cancel_request: CancelRequest | None = None
    schema_digest: str = ""
    plugin_version: str = ""
    owner: str = ""
    """The id of the API key that submitted it; empty where nobody had to show one."""
    version: str = ""
    """Changes with every change of the job; the ETag."""


class JobDetails(Struct, frozen=True):
    """A job with what only a look at one job needs. `result` and `error` are JSON text."""

    job: Job
    position: int | None
    attempts: tuple[Attempt, ...]
    result: bytes | None
    error: bytes | None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One version of a job type, as a worker announced it.

    `payload_schema` and `result_schema` are JSON Schema (draft 2020-12) objects, or None where the type has none;
    `options` are the defaults that a submission takes from the type (seconds, bytes, counts).
    """

    job_type: str
    digest: str
    distribution: str
    version: str
    title: str = ""
    description: str = ""
    payload_schema: Mapping[str, Any] | None = None
    result_schema: Mapping[str, Any] | None = None
    examples: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    seen_at: datetime | None = None


class TroubleWord(StrEnum):
    """What a running job does that it should not."""

    BLOCKS_LOOP = "blocks_loop"
    IGNORES_END = "ignores_end"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A running job that misbehaves: which, how, and for how many seconds when its worker last said so."""

    job_id: JobId
    job_type: str
    what: TroubleWord
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as the store knows it. `types` maps each job type it serves to the schema digest it serves it with."""

    worker_id: WorkerId
    name: str
    status: str
    host: str
    pid: int
    version: str
    slots: int
    started_at: datetime
    renewed_at: datetime
    lease_until: datetime
    held: int = 0
    loop_lag: float = 0.0
    troubles: tuple[Trouble, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[Mapping[str, Any], ...] = ()
    current: tuple[JobId, ...] = ()
    reason: str = ""
