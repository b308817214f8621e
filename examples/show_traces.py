"""Show traces on the terminal: `python examples/show_traces.py [PORT]`, until Ctrl-C.

Takes spans over OTLP/HTTP on loopback as a collector does, at port 4318 where they are sent by default, and prints each
trace when nothing more of it has come for six seconds: each process sends every five. For development; keeps nothing.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PORT: Final = 4318
QUIET_FOR: Final = 6.0


@dataclass
class Trace:
    """The spans of a trace with the service of each, and when the last one came."""

    spans: list[tuple[str, Span]] = field(default_factory=list)
    heard_at: float = 0.0

    def lines(self) -> Iterator[str]:
        """Draw it: who has no parent here comes first, then the children of each by their begin."""
        known = {span.span_id for _, span in self.spans}
        roots = [each for each in self.spans if each[1].parent_span_id not in known]
        began = min(span.start_time_unix_nano for _, span in self.spans)
        yield from self._branches(roots, began, 1)

    def _branches(self, siblings: list[tuple[str, Span]], began: int, depth: int) -> Iterator[str]:
        for service, span in sorted(siblings, key=lambda each: each[1].start_time_unix_nano):
            after = (span.start_time_unix_nano - began) / 1e6
            took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
            failed = "  failed" if span.status.code == Status.STATUS_CODE_ERROR else ""
            name = f"{'  ' * depth}{span.name}"
            yield f"{name:40} {service:12} after {after:9.1f} ms, took {took:9.1f} ms{failed}"
            children = [each for each in self.spans if each[1].parent_span_id == span.span_id]
            yield from self._branches(children, began, depth + 1)


class Traces:
    """What has come and was not shown yet."""

    def __init__(self) -> None:
        self._traces: dict[str, Trace] = {}

    def take(self, body: bytes) -> None:
        """Take one export; DecodeError if it is none."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                trace = self._traces.setdefault(span.trace_id.hex(), Trace())
                trace.spans.append((named.get("service.name", ""), span))
                trace.heard_at = time.monotonic()

    def show(self) -> None:
        """Print the traces of which nothing more has come."""
        for trace_id, trace in list(self._traces.items()):
            if time.monotonic() - trace.heard_at > QUIET_FOR:
                del self._traces[trace_id]
                print(f"trace {trace_id}", *trace.lines(), sep="\n", flush=True)


def handler_of(take: Callable[[bytes], None]) -> type[BaseHTTPRequestHandler]:
    """Make the class that hands on what is posted."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a client that stops in the middle must not hold up the others

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            except (DecodeError, OSError):
                self.send_error(400)
                return
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing of requests."""

    return Handler


def main() -> None:
    """Take spans and show them."""
    traces = Traces()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    with HTTPServer(("127.0.0.1", port), handler_of(traces.take)) as server, suppress(KeyboardInterrupt):
        server.timeout = 0.5
        print(f"spans are shown that come to http://127.0.0.1:{port}", flush=True)
        while True:
            server.handle_request()
            traces.show()


if __name__ == "__main__":
    main()
