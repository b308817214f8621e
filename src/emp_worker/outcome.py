"""Decide what becomes of a job whose attempt raised. A table, without I/O, clock or chance of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from emp_core.jobs import (
    LOSSES_UNTIL_POISONED,
    Backoff,
    Cancelled,
    ClaimedJob,
    Failed,
    OnWorkerLost,
    Outcome,
    Reason,
    Released,
    Retry,
)
from emp_worker.error_json import error_json
from emp_worker.failures import (
    AttemptTimedOut,
    ChildDied,
    ChildGone,
    JobCancelled,
    JobError,
    PayloadRefused,
    ResultRefused,
    ResultTooLarge,
)
from emp_worker.jobtypes import JobType

REFUSALS_LIMIT: Final = 10
REFUSAL_DELAY: Final = timedelta(seconds=5)


def outcome_of(error: BaseException, job: ClaimedJob, job_type: JobType, unit: float) -> Outcome:
    """Name the outcome of an attempt that raised; `unit` (0.0 to 1.0, random) spreads the retries."""
    match error:
        case PayloadRefused():
            return _refused(error, job, job_type)
        case ResultRefused():
            return Failed(job.job_id, job.token, Reason.INVALID_RESULT, error_json(error))
        case ResultTooLarge():
            return Failed(job.job_id, job.token, Reason.RESULT_TOO_LARGE, error_json(error))
        case JobCancelled():
            return Cancelled(job.job_id, job.token)
        case AttemptTimedOut():
            return _again_or_failed(error, job, job_type, unit, Reason.TIMEOUT)
        case ChildDied() if not isinstance(error, ChildGone):
            return _lost(error, job, job_type, unit)
        case JobError() if not error.retryable:
            return Failed(job.job_id, job.token, Reason.ERROR, error_json(error))
        case _:
            return _again_or_failed(error, job, job_type, unit, Reason.ERROR)


def _refused(error: PayloadRefused, job: ClaimedJob, job_type: JobType) -> Outcome:
    """Give back a payload that another version of the type accepted: a worker of that version may take it."""
    if job.schema_digest in {"", job_type.digest}:
        return Failed(job.job_id, job.token, Reason.INVALID_PAYLOAD, error_json(error))
    if job.refusals < REFUSALS_LIMIT:
        return Released(job.job_id, job.token, delay=REFUSAL_DELAY)
    versions = f"it was checked against schema {job.schema_digest}, and this worker has schema {job_type.digest}"
    told = PayloadRefused(
        f"{error.detail}: {versions}; run a worker of that version, or submit again", faults=error.faults
    )
    return Failed(job.job_id, job.token, Reason.INVALID_PAYLOAD, error_json(told))


def _lost(error: ChildDied, job: ClaimedJob, job_type: JobType, unit: float) -> Outcome:
    """Charge the end of the child process to the job that ran there; with too many losses it is not tried again.

    A loss that was in doubt counts now.
    """
    if job.on_worker_lost is OnWorkerLost.FAIL:
        return Failed(job.job_id, job.token, Reason.WORKER_LOST, error_json(error), is_loss=True)
    losses = job.losses + (2 if job.is_suspect else 1)
    if losses >= LOSSES_UNTIL_POISONED and job.attempt < job.max_attempts:
        return Failed(job.job_id, job.token, Reason.POISONED, error_json(error), is_loss=True)
    return msgspec.structs.replace(_again_or_failed(error, job, job_type, unit, Reason.ERROR), is_loss=True)


def _again_or_failed(
    error: BaseException, job: ClaimedJob, job_type: JobType, unit: float, reason: Reason
) -> Failed | Retry:
    """Try again while attempts are left; the handler's own wish wins over the backoff."""
    if job.attempt >= job.max_attempts:
        return Failed(job.job_id, job.token, reason, error_json(error))
    wish = error.retry_after if isinstance(error, JobError) else None
    delay = (job.backoff or job_type.backoff or Backoff()).delay(job.attempt, unit) if wish is None else wish
    return Retry(job.job_id, job.token, reason, error_json(error), delay)
