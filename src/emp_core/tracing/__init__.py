"""Traces: spans over what happens to a job, in the words of the OpenTelemetry conventions for messaging.

Off, nothing here imports OpenTelemetry: `NO_TRACER` stands in its place. On, `start_tracer` gives a tracer of
`emp_core.tracing.sdk`, which with the modules beside it alone knows the library.

A trace context travels as a text (see `emp_core.tracing.context`): in a header, in a job's record, to a child process.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from emp_core.errors import SettingsError

if TYPE_CHECKING:  # the command starts without it
    from structlog.typing import Processor

Attributes = Mapping[str, str | int]
"""What a span says beside its name: words and numbers of few kinds, ids, never a payload."""
EXTRA: Final = "emp-jobs[otel]"


class Operation(Enum):
    """What a span covers; the values are the type that the conventions have for it."""

    SUBMIT = "send"
    CLAIM = "receive"
    PROCESS = "process"


class Span(Protocol):
    """One operation under way."""

    @property
    def trace(self) -> str:
        """Its context, for what follows from it; empty where there is none."""

    def enter(self) -> None:
        """Let it be the current span from here on in this task, and in what the task starts."""

    def about(self, job_type: str) -> None:
        """Say which job type it is about."""

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""

    def failed(self, why: str, raised: str | None = None) -> None:
        """Say that the operation failed: a word for why, and the class of the exception if one was raised.

        Its text is not for a span: it may quote a payload.
        """

    def end(self, at: int | None = None) -> None:
        """End it, now or at a time in Unix nanoseconds; a second end is none."""


class Tracer(Protocol):
    """Makes spans."""

    @property
    def is_on(self) -> bool:
        """Whether anybody wants them."""

    def begin(
        self, operation: Operation, trace: str, attributes: Attributes, job_type: str = "", at: int | None = None
    ) -> Span:
        """Begin a span under a context, or a new trace where there is none; at a time in Unix nanoseconds, or now."""

    def enter(self, trace: str) -> None:
        """Let a context be the current one from here on in this task, and in what the task starts."""

    def flush_soon(self) -> None:
        """Send what has ended, in the background."""

    def stop(self) -> None:
        """Send what has ended, and make no more spans; takes a bounded time, whatever the collector does."""


class NoSpan:
    """In the place of a span, while tracing is off."""

    trace = ""

    def enter(self) -> None:
        """Do nothing."""

    def about(self, job_type: str) -> None:
        """Do nothing."""

    def note(self, attributes: Attributes) -> None:
        """Do nothing."""

    def failed(self, why: str, raised: str | None = None) -> None:
        """Do nothing."""

    def end(self, at: int | None = None) -> None:
        """Do nothing."""


class NoTracer:
    """In the place of a tracer, while tracing is off."""

    is_on = False

    def begin(
        self, operation: Operation, trace: str, attributes: Attributes, job_type: str = "", at: int | None = None
    ) -> Span:
        """Give no span."""
        return NO_SPAN

    def enter(self, trace: str) -> None:
        """Do nothing."""

    def flush_soon(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


NO_SPAN: Final = NoSpan()
NO_TRACER: Final = NoTracer()


def is_installed() -> bool:
    """Tell whether the extra is there that tracing needs."""
    names = ("opentelemetry", "opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
    try:
        return all(importlib.util.find_spec(name) is not None for name in names)
    except ModuleNotFoundError:
        return False


def start_tracer(service: str, *, on: bool) -> Tracer:
    """Make the tracer of this process, which the `OTEL_*` variables configure; none unless it is on.

    Args:
        service: the name of the service, where OTEL_SERVICE_NAME says no other.
        on: the setting `tracing`, which is refused where the extra is not installed.

    Raises:
        SettingsError: one of the variables says what cannot be.
    """
    if not on:
        return NO_TRACER
    try:
        from emp_core.tracing.sdk import start_sdk  # noqa: PLC0415 - imported only if it is wanted; it reads variables

        return start_sdk(service)
    except ValueError as error:
        raise SettingsError(f"a variable of OpenTelemetry (OTEL_...) has a wrong value: {error}") from error


def log_processors(*, on: bool) -> Sequence[Processor]:
    """Give what adds the ids of the current span to log lines."""
    if not on:
        return ()
    from emp_core.tracing.current import add_ids  # noqa: PLC0415 - as above

    return (add_ids,)


def trace_headers() -> Mapping[str, str]:
    """Give the headers that continue the current trace of this process, if it makes traces, with us or without."""
    if "opentelemetry.trace" not in sys.modules:  # then nobody can have begun one
        return {}
    from emp_core.tracing.context import carrier  # noqa: PLC0415 - as above
    from emp_core.tracing.current import current_trace  # noqa: PLC0415 - as above

    trace = current_trace()
    return carrier(trace) if trace else {}


def must_be_installed(value: Any) -> Any:
    """Refuse a setting that asks for traces where the extra is not installed."""
    if value and not is_installed():
        raise ValueError(f"tracing needs OpenTelemetry: pip install '{EXTRA}'")
    return value
