"""Off, tracing costs nothing; on without what it needs, a process says so and does not start."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from pathlib import Path

import pytest

from support.collector import collecting
from support.processes import free_port

EMP = str(Path(sys.executable).with_name("emp"))
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

AT_EXIT = """
import atexit, json, os, sys
def tell():
    with open(os.environ["EMP_TEST_MODULES"], "w") as file:
        json.dump(sorted(sys.modules), file)
if "EMP_TEST_MODULES" in os.environ:
    atexit.register(tell)
"""

MISSING = """
import sys
from importlib.abc import MetaPathFinder
class Nothing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
"""


def of_the_sdk(modules):
    # FastAPI imports the API, and redis-py what the SDK has for metrics: they do so wherever it is installed.
    prefixes = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf", "emp_core.tracing.sdk")
    return [name for name in modules if name.startswith(prefixes)]


def test_without_the_switch_nothing_is_imported_and_nothing_is_sent(start_both, tmp_path):
    """In no process, whatever the collector's variables and the request's headers say."""
    (tmp_path / "sitecustomize.py").write_text(AT_EXIT)
    at_exit = tmp_path / "modules.json"
    with collecting() as collector:
        env = {name: value for name, value in collector.env.items() if name.startswith("OTEL_")}
        emp = start_both(collector, **env, EMP_TEST_MODULES=str(at_exit), EMP_TEST_SITE=str(tmp_path))

        here, child = emp.run("modules.here", PARENT), emp.run("modules.child", PARENT)
        emp.server.send(signal.SIGTERM)
        assert emp.server.wait() == 0

        assert (of_the_sdk(here["result"]), of_the_sdk(child["result"])) == ([], [])
        of_server = json.loads(at_exit.read_text())
        assert "emp_server.app" in of_server
        assert of_the_sdk(of_server) == []
        assert collector.raw == []


@pytest.mark.parametrize("part", ["server", "worker"])
def test_without_the_extra_a_process_that_should_trace_says_what_to_install(start_process, tmp_path, part):
    (tmp_path / "sitecustomize.py").write_text(MISSING)

    process = start_process([EMP, part], env={"EMP_TRACING": "true", "PYTHONPATH": str(tmp_path)})

    assert process.wait() == 2
    assert "EMP_TRACING: tracing needs OpenTelemetry: pip install 'emp-jobs[otel]'" in process.output()


@pytest.mark.parametrize("part", ["server", "worker"])
def test_a_wrong_value_of_a_variable_is_told(start_emp, part):
    options = ["--port", str(free_port())] if part == "server" else []

    process = start_emp(part, *options, EMP_TRACING="true", OTEL_BSP_MAX_QUEUE_SIZE="1")

    assert process.wait() == 2
    assert "a variable of OpenTelemetry (OTEL_...) has a wrong value" in process.output()


@pytest.mark.slow
def test_a_collector_that_is_away_costs_a_line_in_the_log(start_both):
    """Jobs run and processes stop as ever."""
    away = {
        "EMP_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with collecting() as unused:
        emp = start_both(unused, **away, EMP_NAMESPACE=f"t{uuid.uuid4().hex[:20]}")

        for _ in range(3):
            assert emp.run("traced.process", PARENT)["state"] == "completed"
            emp.worker.wait_for("spans_not_exported")
        for process in (emp.worker, emp.server):
            process.send(signal.SIGTERM)
            assert process.wait() == 0

    lines = [line for each in (emp.worker, emp.server) for line in each.output().splitlines()]
    told = [line for line in lines if "export" in line or "Traceback" in line]
    # One from each: the server, the worker and its child.
    assert all("spans_not_exported" in line for line in told)
    assert 1 <= len(told) <= 3
