"""Trace contexts as OpenTelemetry has them. Importing this imports its API, and not the SDK."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from emp_core.tracing.context import carrier, joined

_propagator: Final = TraceContextTextMapPropagator()


def context_of(trace: str) -> Context:
    """Read a context; an empty one, in which a new trace begins, where the text is none."""
    return _propagator.extract(carrier(trace), context=Context()) if trace else Context()


def text_of(span: otel.Span) -> str:
    """Give the context of a span; empty where it has none."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    ids = f"{otel.format_trace_id(context.trace_id)}-{otel.format_span_id(context.span_id)}"
    return joined(f"00-{ids}-{context.trace_flags:02x}", context.trace_state.to_header())


def current_trace() -> str:
    """Give the context of the current span; empty where there is none."""
    return text_of(otel.get_current_span())


def add_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the current span to a log line; a processor of structlog's."""
    context = otel.get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", otel.format_trace_id(context.trace_id))
        event.setdefault("span_id", otel.format_span_id(context.span_id))
    return event
