"""Send spans to the collector, and tell the log that it is away as rarely as that can be of use."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from emp_core.errors import EmpError
from emp_core.outage import Outage

_THEIRS: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_HINT: Final = "start the collector, or say where it is (OTEL_EXPORTER_OTLP_ENDPOINT); spans are dropped until then"
_log = structlog.get_logger("emp.tracing")


class PatientExporter(SpanExporter):
    """OpenTelemetry's exporter over OTLP/HTTP, configured by its own `OTEL_EXPORTER_OTLP_*` variables.

    It tries for ten seconds and then drops a batch. By itself it says each try, which is several lines for each batch
    while a collector is away.
    """

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._outage = Outage(_log, "spans_not_exported", "collector_is_back")
        self._heard = _Complaints()
        said = logging.getLogger(_THEIRS)
        said.addHandler(self._heard)
        said.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        self._heard.first = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.over()
        else:
            why = self._heard.first or "the collector did not take them"
            self._outage.failed(EmpError(why), spans=len(spans), hint=_HINT)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # not typed there

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Keep nothing back."""
        return self._exporter.force_flush(timeout_millis)


class _Complaints(logging.Handler):
    """Keeps what was complained of first: it says why, where the later ones say that time is over."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.first = self.first or record.getMessage()
