"""Make the documents that the server answers from what the store gave."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from emp_core.jobs import WAITING_STATES, Attempt, Job, JobDetails, WorkerInfo
from emp_core.store import Stats, Submitted
from emp_server.catalog import KnownType
from emp_server.documents import (
    AttemptAnswer,
    BatchItemAnswer,
    CancelAnswer,
    JobAnswer,
    JobTypeAnswer,
    MinuteAnswer,
    ProgressAnswer,
    StatsAnswer,
    UrlsAnswer,
    WorkerAnswer,
)


def job_path(job_id: str) -> str:
    """Give a job's address; it is relative to the server, so that it holds behind any proxy."""
    return f"/v1/jobs/{job_id}"


def job_answer(job: Job) -> JobAnswer:
    """Give a job as one of a list."""
    path = job_path(job.job_id)
    cancel = job.cancel_request
    return JobAnswer(
        id=job.job_id,
        job_type=job.job_type,
        state=job.state,
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        progress=ProgressAnswer(job.fraction, job.message),
        reason=job.reason,
        created_at=job.created_at,
        scheduled_at=job.scheduled_at,
        claimed_at=job.claimed_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        worker_id=job.worker_id,
        tags=job.tags,
        cancel_request=CancelAnswer(cancel.by, cancel.at, cancel.why) if cancel else None,
        urls=UrlsAnswer(path, f"{path}/result", f"{path}/events", f"{path}/log", f"{path}/cancel"),
    )


def details_answer(details: JobDetails) -> JobAnswer:
    """Give a job with all that belongs to a look at one job."""
    return msgspec.structs.replace(
        job_answer(details.job),
        position=details.position,
        result=_raw(details.result),
        error=_raw(details.error),
        attempts=[_attempt_answer(attempt) for attempt in details.attempts],
    )


def details_json(details: JobDetails, warnings: Sequence[str] = ()) -> bytes:
    """Write a job as JSON; its result and error are spliced in byte for byte."""
    answer = details_answer(details)
    return msgspec.json.encode(msgspec.structs.replace(answer, warnings=warnings) if warnings else answer)


def _attempt_answer(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        number=attempt.number,
        worker_id=attempt.worker_id,
        claimed_at=attempt.claimed_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        reason=attempt.reason,
        error=_raw(attempt.error),
        plugin_version=attempt.plugin_version,
    )


def _raw(text: bytes | None) -> Raw | None:
    return None if text is None else Raw(text)


def entity_tag(details: JobDetails) -> str:
    """Name what a look at a job shows; the position changes although the job does not."""
    waiting = f"-{details.position}" if details.job.state in WAITING_STATES else ""
    return f'"{details.job.version}{waiting}"'


def submitted_answer(submitted: Submitted, job_type: str, warnings: Sequence[str]) -> BatchItemAnswer:
    """Give one stored job of a batch."""
    return BatchItemAnswer(submitted.job_id, job_type, submitted.state or "", warnings)


def job_type_answer(name: str, known: KnownType, *, with_schemas: bool) -> JobTypeAnswer:
    """Give a job type."""
    newest = known.newest
    path = f"/v1/job-types/{name}"
    answer = JobTypeAnswer(
        job_type=name,
        title=newest.title,
        description=newest.description,
        distribution=newest.distribution,
        version=newest.version,
        digest=newest.digest,
        paused=known.paused,
        workers_online=known.workers_online,
        options=newest.options,
        versions=[version.version for version in known.versions],
        urls={"self": path, "schema": f"{path}/schema", "jobs": f"{path}/jobs"},
    )
    if not with_schemas:
        return answer
    return msgspec.structs.replace(
        answer,
        examples=newest.examples,
        payload_schema=newest.payload_schema,
        result_schema=newest.result_schema,
    )


def worker_answer(worker: WorkerInfo) -> WorkerAnswer:
    """Give a worker."""
    return WorkerAnswer(
        id=worker.worker_id,
        name=worker.name,
        status=worker.status,
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        slots=worker.slots,
        held=worker.held,
        loop_lag=worker.loop_lag,
        troubles=worker.troubles,
        started_at=worker.started_at,
        renewed_at=worker.renewed_at,
        lease_until=worker.lease_until,
        types=worker.types,
        plugins=worker.plugins,
        current=worker.current,
        reason=worker.reason,
    )


def stats_answer(stats: Stats) -> StatsAnswer:
    """Give the counts."""
    minutes = [MinuteAnswer(**minute) for minute in stats.minutes]
    return StatsAnswer(stats.counts, minutes, stats.oldest_pending)
