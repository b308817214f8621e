"""Spans that a test keeps in memory."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from emp_core.tracing.sdk import SdkTracer


class KeptSpans:
    """A tracer, and what it has made."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = SdkTracer(self.provider, is_ours=True)

    def all(self) -> Sequence[ReadableSpan]:
        """Give the spans that have ended."""
        return self._kept.get_finished_spans()

    def named(self, start: str) -> list[ReadableSpan]:
        """Give the spans whose name begins so, in the order of their end."""
        return [span for span in self.all() if span.name.startswith(start)]
