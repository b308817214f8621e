"""Count what one server does: requests, refusals, what is under way, and how late its event loop is.

The processes of one `emp server` answer as one: they share files (see `sharing.py`), and whichever is asked adds up
what all of them have counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import Scope

from emp_core.errors import EmpError
from emp_server.metrics.sharing import shared_folder

UNMATCHED: Final = "unmatched"
"""The route of a request that was answered before a route was found for it."""
PULSE: Final = 0.5
"""Seconds between two looks at the event loop."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Traffic:
    """The counters of one server process. Labels are bounded: routes, known methods, classes of statuses, problems."""

    def __init__(self) -> None:
        folder = shared_folder()
        # Else a series for each says when its counting began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry: Final = CollectorRegistry()
        own = None if folder else self.registry
        self._requests = Counter(
            "emp_http_requests", "HTTP requests answered.", ("route", "method", "status"), registry=own
        )
        self._duration = Histogram(
            "emp_http_request_duration_seconds",
            "Time until the answer of an HTTP request begins; a wait that the client asked for is part of it.",
            ("route", "method"),
            registry=own,
            buckets=_REQUEST_BUCKETS,
        )
        self._refused = Counter(
            "emp_http_requests_refused",
            "HTTP requests refused at the door, by the name of the problem: no key, too much at once, a full store.",
            ("problem",),
            registry=own,
        )
        self._in_flight = Gauge(
            "emp_http_requests_in_flight",
            "HTTP requests that are worked on, waits and streams among them.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._streams = Gauge(
            "emp_http_streams", "Streams of events that are open.", registry=own, multiprocess_mode="livesum"
        )
        self._lag = Histogram(
            "emp_event_loop_lag_seconds",
            "How late the server's event loop was, measured twice a second.",
            registry=own,
            buckets=_LAG_BUCKETS,
        )
        if folder is None:
            # Of several processes each would tell of itself, in turns.
            ProcessCollector(registry=self.registry)
        else:
            MultiProcessCollector(self.registry, folder)  # type: ignore[no-untyped-call]
        self._known: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self.under_way = 0

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request whose answer begins, so long after it came."""
        method = scope["method"]
        self.count(_route_of(scope), method if method in _METHODS else "OTHER", status, seconds)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer of a route, which is a template of those that are written down, to a known method."""
        key = (route, method, status // 100)
        count = self._known.get(key)
        if count is None:
            count = self._known[key] = self._counting(*key)
        count(seconds)

    def _counting(self, route: str, method: str, status_class: int) -> Callable[[float], None]:
        """Look the two series up once: for each request it would cost as much as counting."""
        increase = self._requests.labels(route, method, f"{status_class}xx").inc
        observe = self._duration.labels(route, method).observe

        def count(seconds: float) -> None:
            increase()
            observe(seconds)

        return count

    def refused(self, error: EmpError) -> None:
        """Count a request that was refused at the door."""
        self._refused.labels(error.problem).inc()

    def look(self, streams: int) -> None:
        """Note what is under way now."""
        self._in_flight.set(self.under_way)
        self._streams.set(streams)

    async def run(self, streams: Callable[[], int]) -> None:
        """Watch the event loop for as long as the server runs."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + PULSE
            await asyncio.sleep(PULSE)
            self._lag.observe(max(0.0, clock() - due))
            self.look(streams())


def _route_of(scope: Scope) -> str:
    """Give the template of a request's route, of which there are as many as are written down."""
    route = scope.get("route") or scope.get("endpoint")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNMATCHED
