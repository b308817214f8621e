"""The Python client continues the trace of the code that calls it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from emp_core.client import AsyncEmpClient, EmpClient, JobRequest
from support.serving import ANYTHING, running
from support.serving_fixtures import known_types, settings
from support.spans import KeptSpans

__all__ = ["known_types", "settings"]


@pytest.fixture
def kept(settings, known_types):
    kept = KeptSpans()
    with running(settings, kept.tracer) as server:
        kept.url = server.url
        yield kept


@pytest.fixture
def current():
    """Be in a span, as code that is instrumented is."""
    span = trace.NonRecordingSpan(trace.SpanContext(7, 8, is_remote=False, trace_flags=trace.TraceFlags(1)))
    with trace.use_span(span):
        yield span.get_span_context()


def test_a_submission_is_a_child_of_the_current_span(kept, current):
    with EmpClient(kept.url) as client:
        client.submit(ANYTHING.job_type, None)

    [span] = kept.all()
    assert (span.context.trace_id, span.parent.span_id) == (current.trace_id, current.span_id)


@pytest.mark.anyio
async def test_so_is_a_batch_of_the_asynchronous_client(kept, current):
    async with AsyncEmpClient(kept.url) as client:
        await client.submit_many([JobRequest(ANYTHING.job_type, None)] * 2)

    [span] = kept.all()
    assert format_trace_id(span.context.trace_id) == format_trace_id(current.trace_id)
    assert format_span_id(span.parent.span_id) == format_span_id(current.span_id)


def test_without_a_current_span_a_trace_begins(kept):
    with EmpClient(kept.url) as client:
        client.submit(ANYTHING.job_type, None)

    [span] = kept.all()
    assert span.parent is None


def test_the_client_imports_nothing_for_it():
    code = "import sys, emp_core.client; print([name for name in sys.modules if 'opentelemetry' in name])"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"
