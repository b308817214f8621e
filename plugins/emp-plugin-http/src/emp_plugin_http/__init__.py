"""Jobs that call HTTP services: `http.request` and `http.poll`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from emp_plugin_http.calls import Answer, Call
from emp_plugin_http.poll import Poll, Polled, poll
from emp_plugin_http.request import Request, request
from emp_worker import JobType, hookimpl

__all__ = ["POLL", "REQUEST", "Answer", "Call", "Poll", "Polled", "Request", "emp_job_types"]


def opened() -> AbstractAsyncContextManager[object]:
    """Open the connections that the jobs of a process share."""
    from emp_plugin_http.exchange import exchange  # noqa: PLC0415 - a client is heavy, and `emp plugins` needs none

    return exchange()


REQUEST = JobType(
    "http.request",
    request,
    title="HTTP request",
    examples=[
        {"url": "https://api.example.org/things/7"},
        {"url": "https://api.example.org/things", "method": "POST", "json_body": {"name": "lamp"}, "expect": [201]},
    ],
    timeout=660,
    max_attempts=5,
    lifespan=opened,
)
POLL = JobType(
    "http.poll",
    poll,
    title="HTTP work, polled",
    examples=[
        {
            "submit": {"url": "https://api.example.org/renders", "json_body": {"scene": "attic"}},
            "status_url": "https://api.example.org/renders/{id}",
            "result_pointer": "/picture",
        }
    ],
    max_attempts=5,
    lifespan=opened,
)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare both job types."""
    return [REQUEST, POLL]
