"""What every way to submit shares: check against the type, hand to the store, say what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from starlette.types import Receive

from emp_core.api_keys import Scope
from emp_core.errors import (
    EmpError,
    IdempotencyKeyReused,
    InternalError,
    JobNotFound,
    StateConflict,
    StoreError,
    WaitingLineFull,
)
from emp_core.jobs import FINAL_STATES, Idempotency, JobDetails, Submission
from emp_core.store import Submitted, SubmitWord
from emp_server.answers import details_json, job_path
from emp_server.callers import Caller
from emp_server.catalog import KnownType
from emp_server.delivery import Wait
from emp_server.envelope import Options
from emp_server.new_jobs import new_job, new_job_json
from emp_server.options import make_submission
from emp_server.parts import Parts
from emp_server.plain_answer import PlainJson
from emp_server.tracing import Submitting
from emp_server.turns import apart
from emp_server.waiting import read_details, wait_for_end

NO_WORKER = "no_worker"


async def checked_submission(
    parts: Parts, caller: Caller, known: KnownType, payload: bytes, wanted: Options, idempotency: Idempotency | None
) -> Submission:
    """Give a submission that may be stored.

    Raises:
        InvalidRequest: an option is out of its range.
        TooLarge: the payload is.
        InvalidPayload: the payload does not fit the type's schema.
    """
    submission = make_submission(
        known.newest,
        payload,
        wanted,
        idempotency,
        limit_bytes=parts.settings.payload_limit_bytes,
        default_expires_in=parts.settings.default_expires_in,
        owner=caller.owner,
    )
    if known.check is not None:
        await apart(known.check, payload)
    return submission


def refusal_of(submitted: Submitted, job_type: str) -> EmpError | None:
    """Give the error that the store's word stands for; None where the job is stored."""
    word = submitted.word
    if word is SubmitWord.OK:
        return None
    match word:
        case SubmitWord.REPEAT:
            return None
        case SubmitWord.FULL:
            return WaitingLineFull(f"too many jobs of type {job_type} wait")
        case SubmitWord.KEY_REUSED:
            return IdempotencyKeyReused("this idempotency key stands for another request; use a new one")
        case SubmitWord.EXISTS:
            return InternalError("the id made for this job was taken")
        case unreachable:
            assert_never(unreachable)


def warnings_for(known: KnownType) -> Sequence[str]:
    """Give what a submitter should know about the type."""
    return () if known.workers_online else (NO_WORKER,)


def admit(parts: Parts, caller: Caller, jobs: int = 1) -> Mapping[str, str]:
    """Let a caller submit jobs, before anything is done for it; give the headers that say what it has left.

    Raises:
        ScopeMissing: this caller may not submit.
        RateLimited: it has submitted too much just now.
        StoreFull: the store has no room for new jobs.
        WaitingLineFull: as many jobs wait as may.
    """
    caller.needs(Scope.SUBMIT)
    parts.pressure.admit()
    return parts.rates.charge(caller, jobs)


async def store_one(parts: Parts, submission: Submission, submitting: Submitting) -> Submitted:
    """Store a job, which carries the trace of its submission.

    Raises:
        EmpError: it was not stored.
    """
    [submitted] = await parts.store.jobs.submit(submitting.carried_by([submission]))
    refusal = refusal_of(submitted, submission.job_type)
    if refusal is not None:
        raise refusal
    submitting.stored(submitted.job_id)
    return submitted


async def answer_one(
    parts: Parts, submission: Submission, submitted: Submitted, known: KnownType, wait: Wait, receive: Receive
) -> PlainJson:
    """Answer with a stored job: 202, or 200 if the client waits and it ended in time.

    Raises:
        EmpError: it repeats a submission whose job cannot be shown now, or not any more.
    """
    status = 202
    text = None if wait.seconds else new_job_json(submission, submitted, warnings_for(known))
    if text is None:
        details = await _follow(parts, submitted, new_job(submission, submitted), wait, receive)
        ended = bool(wait.seconds) and details.job.state in FINAL_STATES
        text, status = details_json(details, () if ended else warnings_for(known)), 200 if ended else 202
    return PlainJson(text, status, {"Location": job_path(submitted.job_id), **wait.headers})


async def _follow(
    parts: Parts, submitted: Submitted, new: JobDetails | None, wait: Wait, receive: Receive
) -> JobDetails:
    """Read the job of a submission, after its end if the client waits.

    Raises:
        StateConflict: the submission repeats one whose job is not kept any more.
        StoreError: it repeats one whose job cannot be read now.
    """
    try:
        if wait.seconds:
            return await wait_for_end(parts.store, parts.updates, submitted.job_id, wait.seconds, receive)
        return await read_details(parts.store, submitted.job_id)
    except (StoreError, JobNotFound) as error:
        # A new job is stored, whatever became of the wait: no answer may read as if it were not.
        if new is not None:
            return new
        if isinstance(error, StoreError):
            raise error.of(may_have_run=True) from error
        raise StateConflict(
            "the first job of this idempotency key has gone: its retention is over; use a new key"
        ) from error
