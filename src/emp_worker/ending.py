"""Why the worker ends an attempt before its handler does, and which outcome that is."""

from __future__ import annotations

import random
from enum import Enum
from typing import assert_never

from emp_core.jobs import Cancelled, ClaimedJob, Failed, Outcome, Reason, Released
from emp_worker.error_json import error_json
from emp_worker.failures import AttemptTimedOut, JobError
from emp_worker.jobtypes import JobType
from emp_worker.outcome import outcome_of


class Ending(Enum):
    """Why the worker ends an attempt before its handler does."""

    CANCEL = "somebody called the job off"
    TIMEOUT = "the attempt's time limit is over"
    SILENCE = "the handler showed no sign of life for its progress limit"
    SHUTDOWN = "the worker stops and its grace is over"
    LEASE_LOST = "the job was taken over by others"


def ended_early(job: ClaimedJob, job_type: JobType, why: Ending | None, *, is_begun: bool) -> Outcome | None:
    """Name the outcome of an attempt that the worker ended; None if others have the job now."""
    match why:
        case Ending.CANCEL:
            return Cancelled(job.job_id, job.token)
        case Ending.TIMEOUT | Ending.SILENCE:
            return outcome_of(AttemptTimedOut(_over(job, job_type, why)), job, job_type, random.random())  # noqa: S311 - spreads retries
        case Ending.SHUTDOWN | None:
            if is_begun and job.max_attempts == 1:
                # It may be begun only once, so it must not go back.
                error = error_json(JobError("the worker stopped before the handler had ended"))
                return Failed(job.job_id, job.token, Reason.INTERRUPTED, error)
            return Released(job.job_id, job.token)
        case Ending.LEASE_LOST:
            return None
        case _:
            assert_never(why)


def _over(job: ClaimedJob, job_type: JobType, why: Ending) -> str:
    if why is Ending.TIMEOUT:
        return f"the attempt ran longer than its timeout of {job.timeout or job_type.timeout}"
    return (
        f"the handler reported nothing for its progress_timeout of {job.progress_timeout or job_type.progress_timeout}"
    )
