"""The tracer on OpenTelemetry. Importing this imports the library: only `start_tracer` does."""

from __future__ import annotations

import threading
from importlib.metadata import version
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from emp_core.tracing import Attributes, Operation
from emp_core.tracing.current import context_of, text_of
from emp_core.tracing.exporting import PatientExporter

STOP_WITHIN: Final = 2.0
"""Seconds that the last spans get at a stop: a collector that is away must not hold it up."""
_KINDS: Final = {
    Operation.SUBMIT: SpanKind.PRODUCER,
    Operation.CLAIM: SpanKind.CLIENT,
    Operation.PROCESS: SpanKind.CONSUMER,
}
"""By the conventions for messaging spans: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/"""
_NAMES: Final = {operation: operation.name.lower() for operation in Operation}


def start_sdk(service: str) -> SdkTracer:
    """Make the tracer of a process, and let handlers find it where they look: `opentelemetry.trace.get_tracer`.

    A provider that something else has set up before, such as `opentelemetry-instrument`, is used as it is.
    """
    given = otel.get_tracer_provider()
    if isinstance(given, TracerProvider):
        return SdkTracer(given, is_ours=False)
    # Not shut down at exit by itself: it would wait for a collector that is away.
    provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(PatientExporter()))
    otel.set_tracer_provider(provider)
    return SdkTracer(provider, is_ours=True)


def _resource(service: str) -> Resource:
    ours: dict[str, str] = {SERVICE_VERSION: version("emp-jobs"), SERVICE_NAME: service}
    # What the variables say stands.
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in given})


class SdkTracer:
    """Makes spans with a provider; see `emp_core.tracing.Tracer`."""

    is_on = True

    def __init__(self, provider: TracerProvider, *, is_ours: bool) -> None:
        self._provider = provider
        self._is_ours = is_ours
        self._tracer = provider.get_tracer("emp", version("emp-jobs"))

    def begin(
        self, operation: Operation, trace: str, attributes: Attributes, job_type: str = "", at: int | None = None
    ) -> SdkSpan:
        """Begin a span."""
        name = _NAMES[operation]
        said: dict[str, str | int] = {
            "messaging.system": "emp",
            "messaging.operation.name": name,
            "messaging.operation.type": operation.value,
            **attributes,
        }
        if job_type:
            said["messaging.destination.name"] = job_type
        span = self._tracer.start_span(
            f"{name} {job_type}" if job_type else name,
            context=context_of(trace),
            kind=_KINDS[operation],
            attributes=said,
            start_time=at,
            record_exception=False,
            set_status_on_exception=False,
        )
        return SdkSpan(span, name)

    def enter(self, trace: str) -> None:
        """Let a context be the current one."""
        otel_context.attach(context_of(trace))

    def flush_soon(self) -> None:
        """Send what has ended, in the background."""
        threading.Thread(target=self._provider.force_flush, name="emp-flush", daemon=True).start()

    def stop(self) -> None:
        """Send what has ended, within `STOP_WITHIN`."""
        end = self._provider.shutdown if self._is_ours else self._provider.force_flush
        stopping = threading.Thread(target=end, name="emp-flush", daemon=True)
        stopping.start()
        stopping.join(STOP_WITHIN)


class SdkSpan:
    """A span of OpenTelemetry's; see `emp_core.tracing.Span`."""

    __slots__ = ("_has_ended", "_name", "_span")

    def __init__(self, span: otel.Span, name: str) -> None:
        self._span = span
        self._name = name
        self._has_ended = False

    @property
    def trace(self) -> str:
        """Its context."""
        return text_of(self._span)

    def enter(self) -> None:
        """Let it be the current span."""
        otel_context.attach(otel.set_span_in_context(self._span))

    def about(self, job_type: str) -> None:
        """Say which job type it is about."""
        self._span.update_name(f"{self._name} {job_type}")
        self._span.set_attribute("messaging.destination.name", job_type)

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def failed(self, why: str, raised: str | None = None) -> None:
        """Say that it failed."""
        if raised is not None:
            self._span.add_event("exception", {"exception.type": raised})
        self._span.set_attribute("error.type", why)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self, at: int | None = None) -> None:
        """End it."""
        if not self._has_ended:
            self._has_ended = True
            self._span.end(at)
