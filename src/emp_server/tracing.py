"""Trace submissions: a span over each request that submits, whose context its jobs carry on."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from msgspec.structs import replace

from emp_core.errors import EmpError
from emp_core.ids import JobId
from emp_core.jobs import Submission
from emp_core.tracing import Attributes, Operation, Span, Tracer
from emp_core.tracing.context import read_trace


class Submitting:
    """A request that submits, where nobody traces it; a context manager around checking and storing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing."""

    def about(self, job_type: str) -> None:
        """Say which type it submits; one that is known, since the names of spans are of few kinds."""

    def carried_by(self, submissions: Sequence[Submission]) -> Sequence[Submission]:
        """Give the submissions with the context that their jobs are to carry."""
        return submissions

    def stored(self, job_id: JobId) -> None:
        """Say which job it was; a repeated request is answered with the first one's."""


class _Traced(Submitting):
    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Self:
        self._span.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._span.failed(_word(error))
        self._span.end()

    def about(self, job_type: str) -> None:
        self._span.about(job_type)

    def carried_by(self, submissions: Sequence[Submission]) -> Sequence[Submission]:
        types = {submission.job_type for submission in submissions}
        if len(types) == 1:
            self._span.about(types.pop())
        self._span.note(_facts(submissions))
        trace = self._span.trace
        return [replace(submission, trace=trace) for submission in submissions]

    def stored(self, job_id: JobId) -> None:
        self._span.note({"messaging.message.id": job_id})


NOT_TRACED: Final = Submitting()


class Submissions:
    """Begins a span for each request that submits, if they are traced."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @property
    def are_wanted(self) -> bool:
        """Whether they are traced."""
        return self._tracer.is_on

    def submitting(self, scope: MutableMapping[str, Any]) -> Submitting:
        """Trace a request from here on, in the trace that its headers name."""
        if not self._tracer.is_on:
            return NOT_TRACED
        return _Traced(self._tracer.begin(Operation.SUBMIT, read_trace(scope["headers"]), {}))


def _facts(submissions: Sequence[Submission]) -> Attributes:
    if len(submissions) == 1:
        return {"messaging.message.id": submissions[0].job_id}
    return {"messaging.batch.message_count": len(submissions)}


def _word(error: BaseException) -> str:
    """Name an error by its problem, as the answer does."""
    return (isinstance(error, EmpError) and error.problem) or type(error).__name__
