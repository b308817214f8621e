"""An OpenTelemetry collector for tests: takes OTLP over HTTP on loopback, and shows the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
ERROR = 2


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as the collector got it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    is_error: bool
    status_message: str
    began: int
    ended: int


class Trace(list[ReceivedSpan]):
    """The spans of a trace."""

    def named(self, name: str) -> list[ReceivedSpan]:
        """Those of one name, in the order of their begin."""
        return sorted((span for span in self if span.name == name), key=lambda span: span.began)


class Collector:
    """What has arrived so far. `raw` are the bodies, for what must be nowhere in them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.raw: list[bytes] = []

    @property
    def env(self) -> dict[str, str]:
        """The variables that let a process of EMP send its spans here, soon."""
        return {"EMP_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All spans."""
        return [span for body in list(self.raw) for span in _read(body)]

    def trace(self, trace_id: str) -> Trace:
        """All spans of a trace."""
        return Trace(span for span in self.spans if span.trace_id == trace_id)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collector.raw.append(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes) -> Iterator[ReceivedSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    service,
                    span.name,
                    KINDS[span.kind],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _attributes(span.attributes),
                    tuple((event.name, _attributes(event.attributes)) for event in span.events),
                    span.status.code == ERROR,
                    span.status.message,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
