"""Trace attempts: a span for a job's claim and one for its handler, in the trace of its submission."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from emp_core.ids import WorkerId
from emp_core.jobs import Cancelled, ClaimedJob, Completed, Failed, Outcome, Reason, Released, Retry
from emp_core.tracing import NO_SPAN, Attributes, Operation, Span, Tracer

SERVICE: Final = "emp-worker"
LEASE_LOST: Final = "lease_lost"
"""Why an attempt has no outcome of its own: others have the job."""


class Attempts:
    """Makes the spans of one worker's attempts."""

    def __init__(self, tracer: Tracer, worker_id: WorkerId) -> None:
        self._tracer = tracer
        self._worker_id = worker_id

    def claimed(self, job: ClaimedJob, asked_at: int) -> ClaimedJob:
        """Note the claim in a job's trace, from the time it was sent until now; give the job as its trace goes on."""
        if not self._tracer.is_on:
            return job
        span = self._tracer.begin(Operation.CLAIM, job.trace, self._facts(job), job.job_type, asked_at)
        span.end()
        return msgspec.structs.replace(job, trace=span.trace)

    def begin(self, job: ClaimedJob) -> Span:
        """Begin the span of an attempt."""
        if not self._tracer.is_on:
            return NO_SPAN
        return self._tracer.begin(Operation.PROCESS, job.trace, self._facts(job), job.job_type)

    def _facts(self, job: ClaimedJob) -> Attributes:
        return {
            "messaging.message.id": job.job_id,
            "messaging.client.id": self._worker_id,
            "emp.attempt": job.attempt,
            "emp.losses": job.losses,
        }


def end(span: Span, outcome: Outcome | None) -> None:
    """End the span of an attempt with its outcome; None if others have the job now.

    An attempt that was given back or called off did not fail.
    """
    if span is NO_SPAN:
        return
    match outcome:
        case None:
            span.note({"emp.outcome": "lost"})
            span.failed(LEASE_LOST)
        case Completed():
            span.note({"emp.outcome": "completed"})
        case Released():
            span.note({"emp.outcome": "released"})
        case Cancelled():
            span.note({"emp.outcome": "cancelled"})
        case Failed():
            _failed(span, "failed", outcome)
        case Retry():
            _failed(span, "retry", outcome)
        case _:
            assert_never(outcome)
    span.end()


class _Error(msgspec.Struct):
    """What a span says of an error; its message and traceback may quote the payload, and stay with the job."""

    kind: str = ""


def _failed(span: Span, word: str, outcome: Failed | Retry) -> None:
    span.note({"emp.outcome": word, "emp.reason": str(outcome.reason)})
    kind = msgspec.json.decode(outcome.error, type=_Error).kind
    # What a handler raised is known by its class, what EMP found wrong by the reason.
    span.failed(kind if kind and outcome.reason is Reason.ERROR else str(outcome.reason), kind or None)
