"""Write submissions for submit.lua and read its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from emp_core.ids import JobId
from emp_core.jobs import Backoff, Idempotency, JobState, OnWorkerLost, Submission
from emp_core.store.records import known_moment, milliseconds, moment, text_of, unix_milliseconds, write_backoff
from emp_core.store.replies import Submitted, SubmitWord

SubmissionItem = tuple[str, bytes, bytes, str, str]
"""A submission's fields in the order of submit.lua's header."""

_BETWEEN = "\x1f"
_BESIDE_PAYLOAD = 150
"""About how many bytes of an item are not its payload."""
_STATES = {str(state).encode(): state for state in JobState}


def submission_item(job: Submission) -> SubmissionItem:
    """Give a submission as an item of a call.

    Raises:
        UnicodeEncodeError: a text of it has no UTF-8 form (a lone surrogate).
    """
    idempotency = job.idempotency
    how = _how(
        job.job_type,
        job.priority,
        job.run_at,
        job.delay,
        job.expires_in,
        job.expires_at,
        job.timeout,
        job.progress_timeout,
        job.max_attempts,
        job.backoff,
        job.on_worker_lost,
        job.retention,
        job.schema_digest,
        job.owner,
        job.tags,
    )
    if job.trace:
        how = job.trace.encode() + how
    if idempotency is None:
        return (job.job_id, job.payload, how, "", "")
    return (job.job_id, job.payload, how, _idempotency_key(idempotency), idempotency.digest)


def submission_weight(item: SubmissionItem) -> int:
    """Give about how many bytes an item sends."""
    return len(item[1]) + _BESIDE_PAYLOAD


@lru_cache(maxsize=1024)
def _how(  # noqa: PLR0913, PLR0917 - by these the cache knows it
    job_type: str,
    priority: int,
    run_at: datetime | None,
    delay: timedelta | None,
    expires_in: timedelta | None,
    expires_at: datetime | None,
    timeout: timedelta | None,
    progress_timeout: timedelta | None,
    max_attempts: int,
    backoff: Backoff | None,
    on_worker_lost: OnWorkerLost,
    retention: timedelta | None,
    schema_digest: str,
    owner: str,
    tags: tuple[str, ...],
) -> bytes:
    """Write all but what is a job's own, with no trace; most jobs of a type have it in common."""
    return _BETWEEN.join(
        (
            "",
            job_type,
            str(priority),
            unix_milliseconds(run_at),
            milliseconds(delay),
            milliseconds(expires_in),
            unix_milliseconds(expires_at),
            milliseconds(timeout),
            milliseconds(progress_timeout),
            str(max_attempts),
            write_backoff(backoff),
            on_worker_lost.value,
            milliseconds(retention),
            schema_digest,
            owner,
            "\n".join(tags),
        )
    ).encode()


def _idempotency_key(idempotency: Idempotency) -> str:
    """Name the key of a submission's idempotency; the client's own key is digested, since it may hold anything."""
    digest = hashlib.blake2s(idempotency.key.encode(), digest_size=16).hexdigest()
    return f"{idempotency.scope}:{digest}"


def read_submitted(
    items: Sequence[SubmissionItem], at: bytes, answers: Sequence[bytes | list[bytes]]
) -> Iterator[Submitted]:
    """Read what became of the items of one call, in order."""
    now = moment(at)
    for item, answer in zip(items, answers, strict=True):
        if isinstance(answer, bytes):
            yield Submitted(SubmitWord.OK, JobId(item[0]), _STATES[answer], now)
        else:
            word, job_id, state, created_at = answer
            # Of a job that was stored before; its record may be damaged.
            stored_at = known_moment(created_at)
            yield Submitted(SubmitWord(text_of(word)), JobId(text_of(job_id)), _STATES.get(state), stored_at)
