"""Answer a submission with its job as it was stored just now, without reading it back; by now a worker may have it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from emp_core.ids import JobId
from emp_core.jobs import WAITING_STATES, Job, JobDetails, JobState, Submission
from emp_core.store import Submitted, SubmitWord
from emp_server.answers import details_json

_SOME_ID: Final = JobId(secrets.token_hex(13))
"""Stands for the id in a template; nobody can know it, so no tag can hold it."""
_SOME_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BEGINS: Final = b'"created_at":'
"""Stands once in a job: in a text of the client its quotes would be escaped."""


def new_job(submission: Submission, submitted: Submitted) -> JobDetails | None:
    """Give a job as it was stored just now.

    None where the submission repeats another: then the first job is stored, and may have gone far.
    """
    state, created_at = submitted.state, submitted.created_at
    if submitted.word is not SubmitWord.OK or state not in WAITING_STATES or created_at is None:
        return None
    due = submission.run_at or created_at + (submission.delay or timedelta(0))
    expires_at = submission.expires_at
    if submission.expires_in is not None:
        expires_at = max(due, created_at) + submission.expires_in
    job = Job(
        job_id=submission.job_id,
        job_type=submission.job_type,
        state=state,
        priority=submission.priority,
        attempt=0,
        max_attempts=submission.max_attempts,
        created_at=created_at,
        scheduled_at=due if state is JobState.SCHEDULED else None,
        expires_at=expires_at,
        tags=submission.tags,
    )
    return JobDetails(job, position=None, attempts=(), result=None, error=None)


def new_job_json(submission: Submission, submitted: Submitted, warnings: Sequence[str]) -> bytes | None:
    """Write a job that was stored just now; None where the submission repeats another.

    Most jobs of a type differ in their ids and times only, so these are put into a template.
    """
    never_expires = submission.expires_in is None and submission.expires_at is None
    if submitted.word is SubmitWord.OK and submitted.state is JobState.PENDING and never_expires:
        start, before_time, after_time = _template(
            submission.job_type, submission.priority, submission.max_attempts, submission.tags, tuple(warnings)
        )
        job_id = submission.job_id.encode()
        return b"%b%b%b%b" % (
            job_id.join(start),
            before_time,
            _written(submitted.created_at),
            job_id.join(after_time),
        )
    new = new_job(submission, submitted)
    return None if new is None else details_json(new, warnings)


@lru_cache(maxsize=256)
def _template(
    job_type: str, priority: int, max_attempts: int, tags: tuple[str, ...], warnings: tuple[str, ...]
) -> tuple[list[bytes], bytes, list[bytes]]:
    """Give what stands before and behind the time of a pending job, each cut where its id belongs."""
    job = Job(_SOME_ID, job_type, JobState.PENDING, priority, 0, max_attempts, _SOME_TIME, tags=tags)
    text = details_json(JobDetails(job, position=None, attempts=(), result=None, error=None), warnings)
    before, begins, after = text.partition(_TIME_BEGINS)
    after = after.removeprefix(_written(_SOME_TIME))
    return before.split(_SOME_ID.encode()), begins, after.split(_SOME_ID.encode())


@lru_cache(maxsize=16)
def _written(time: datetime | None) -> bytes:
    return msgspec.json.encode(time)
