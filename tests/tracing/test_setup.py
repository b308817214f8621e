"""What a process's tracer is made of: the variables of OpenTelemetry, and a provider that was there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

pytestmark = pytest.mark.process

RESOURCE = """
import json
from opentelemetry import trace
from emp_core.tracing import start_tracer
start_tracer("emp-server", on=True)
print(json.dumps(dict(trace.get_tracer_provider().resource.attributes)))
"""

GIVEN = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from emp_core.tracing import Operation, start_tracer
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
tracer = start_tracer("emp-server", on=True)
tracer.begin(Operation.SUBMIT, "", {}).end()
tracer.stop()
provider.get_tracer("other").start_span("after the stop").end()
print([span.name for span in kept.get_finished_spans()])
"""


def said(code: str, **env: str) -> str:
    """Run code in a process of its own, since a provider is set once, and give what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**clean, **env}, capture_output=True, text=True, check=True
    ).stdout


def test_a_process_is_called_after_what_it_is():
    resource = json.loads(said(RESOURCE))

    assert (resource["service.name"], resource["service.version"]) == ("emp-server", version("emp-jobs"))


def test_the_variables_call_it_something_else():
    resource = json.loads(said(RESOURCE, OTEL_SERVICE_NAME="shop", OTEL_RESOURCE_ATTRIBUTES="zone=b,service.version=9"))

    assert (resource["service.name"], resource["service.version"], resource["zone"]) == ("shop", "9", "b")


def test_a_provider_that_is_there_is_used_and_left_to_who_made_it():
    """For instance that of `opentelemetry-instrument`."""
    assert said(GIVEN) == "['submit', 'after the stop']\n"


def test_an_sdk_that_is_disabled_makes_no_spans_and_no_contexts():
    code = """
from emp_core.tracing import Operation, start_tracer
print(repr(start_tracer("emp-server", on=True).begin(Operation.SUBMIT, "", {}).trace))
"""

    assert said(code, OTEL_SDK_DISABLED="true") == "''\n"
