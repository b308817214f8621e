"""One trace over submit, claim and handler, in real processes."""

from __future__ import annotations

import json
import secrets
import signal
import sys

import httpx2
import pytest

from support.pages import ROOT
from support.processes import free_port

CALLER = "b7ad6b7169203331"


@pytest.fixture
def trace_id() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def parent(trace_id) -> str:
    return f"00-{trace_id}-{CALLER}-01"


@pytest.mark.parametrize("mode", ["async", "thread", "process"])
def test_a_job_is_one_trace_from_the_callers_span_to_the_handlers_own(emp, trace_id, parent, mode):
    """Each span is the child of the one before, across the client, the server, the worker and a child process."""
    kind = f"traced.{mode}"

    job = emp.run(kind, parent)
    spans = emp.spans(trace_id, 4)

    [submit], [claim] = spans.named(f"submit {kind}"), spans.named(f"claim {kind}")
    [process], [own] = spans.named(f"process {kind}"), spans.named("own work")
    assert [submit.parent_id, claim.parent_id] == [CALLER, submit.span_id]
    assert [process.parent_id, own.parent_id] == [claim.span_id, process.span_id]
    assert [submit.kind, claim.kind, process.kind] == ["producer", "client", "consumer"]
    assert [submit.service, claim.service, own.service] == ["emp-server", "emp-worker", "emp-worker"]
    for span, operation in ((submit, "send"), (claim, "receive"), (process, "process")):
        assert span.attributes["messaging.system"] == "emp"
        assert span.attributes["messaging.operation.type"] == operation
        assert span.attributes["messaging.destination.name"] == kind
        assert span.attributes["messaging.message.id"] == job["id"]
    assert (process.attributes["emp.outcome"], process.attributes["emp.attempt"]) == ("completed", 1)
    assert not process.is_error


def test_a_warm_child_keeps_its_jobs_apart(emp):
    """Jobs that a child process performs one after the other each have their spans in their own trace."""
    traces = [secrets.token_hex(16) for _ in range(6)]

    for trace_id in traces:
        emp.run("traced.process", f"00-{trace_id}-{CALLER}-01")

    for trace_id in traces:
        spans = emp.spans(trace_id, 4)
        [process], [own] = spans.named("process traced.process"), spans.named("own work")
        assert own.parent_id == process.span_id


def test_a_retry_stays_in_the_trace(emp, trace_id, parent):
    """Both attempts are there, each under its claim; the first one says what it was, and quotes nothing."""
    job = emp.run("traced.async", parent, text="canary-of-a-payload", fails_until=2)

    spans = emp.spans(trace_id, 7)
    first, second = spans.named("process traced.async")
    assert job["state"] == "completed"
    assert [first.parent_id, second.parent_id] == [each.span_id for each in spans.named("claim traced.async")]
    assert [span.attributes["emp.attempt"] for span in (first, second)] == [1, 2]
    assert (first.attributes["emp.outcome"], first.attributes["emp.reason"]) == ("retry", "error")
    assert (first.is_error, second.is_error) == (True, False)
    assert first.attributes["error.type"] == "ValueError"
    assert first.events == (("exception", {"exception.type": "ValueError"}),)
    assert not [body for body in emp.collector.raw if b"canary" in body]


def test_an_unsampled_request_stays_unsampled(emp, trace_id):
    """The caller's flag decides, as far as the handler's own spans."""
    emp.run("traced.async", f"00-{trace_id}-{CALLER}-00")
    emp.run("traced.process", f"00-{trace_id}-{CALLER}-00")
    seen = secrets.token_hex(16)
    emp.run("traced.process", f"00-{seen}-{CALLER}-01")

    emp.spans(seen, 4)
    assert emp.collector.trace(trace_id) == []


def test_there_are_no_spans_but_ours_and_the_handlers(emp, trace_id, parent):
    """A library that makes its own as soon as there is a provider, as FastAPI does, was told not to."""
    for path in ("/v1/jobs", "/v1/job-types", "/metrics", "/"):
        emp.client.get(path, headers={"traceparent": parent})
    emp.client.post("/v1/jobs/batch", json=[], headers={"traceparent": parent})
    emp.run("traced.async", parent)

    spans = emp.spans(trace_id, 5)
    assert {span.name.split()[0] for span in spans} == {"submit", "claim", "process", "own"}
    assert len(spans) == 5


@pytest.mark.slow  # it waits for the six seconds after which the example shows a trace
def test_the_example_draws_a_trace(emp, trace_id, parent, start_process):
    """Fed with what a collector gets, it shows each span under its parent."""
    job = emp.run("traced.thread", parent, options={"max_attempts": 1}, fails_until=9)
    emp.spans(trace_id, 4)
    port = free_port()
    shown = start_process([sys.executable, str(ROOT / "examples/show_traces.py"), str(port)])
    shown.wait_for("spans are shown")

    for body in emp.collector.raw:
        httpx2.post(f"http://127.0.0.1:{port}/v1/traces", content=body, trust_env=False).raise_for_status()
    assert httpx2.post(f"http://127.0.0.1:{port}/v1/traces", content=b"\xff", trust_env=False).status_code == 400

    assert job["state"] == "failed"
    shown.wait_for(
        rf"trace {trace_id}\n"
        r"  submit traced.thread +emp-server +after +0.0 ms, took +\d+\.\d ms\n"
        r"    claim traced.thread +emp-worker .*\n"
        r"      process traced.thread +emp-worker .*  failed\n"
        r"        own work +emp-worker .*\n"
    )


def test_log_lines_carry_the_ids_of_the_trace(emp, trace_id, parent):
    """Who reads a line that a handler logs finds its trace and its span."""
    job = emp.run("traced.async", parent)

    [own] = emp.spans(trace_id, 4).named("own work")
    [line] = [json.loads(line) for line in emp.worker.output().splitlines() if f"at work on {job['id']}" in line]
    assert (line["trace_id"], line["span_id"], line["job_id"]) == (trace_id, own.span_id, job["id"])


def test_what_a_handler_did_before_its_end_is_sent(start_both, emp, trace_id, parent):
    """A child that is killed has sent the handler's spans; a worker and a server that stop send what they have."""
    late = {**emp.collector.env, "OTEL_BSP_SCHEDULE_DELAY": "600000", "EMP_NAMESPACE": f"t{trace_id[:20]}"}
    stopped = start_both(emp.collector, **late)

    killed = stopped.run("traced.process", parent, options={"timeout": 1, "max_attempts": 1}, seconds=60)
    [own] = stopped.spans(trace_id, 1)
    assert (killed["reason"], own.name) == ("timeout", "own work")

    for process in (stopped.worker, stopped.server):
        process.send(signal.SIGTERM)

    assert (stopped.worker.wait(), stopped.server.wait()) == (0, 0)
    [process] = emp.collector.trace(trace_id).named("process traced.process")
    assert (own.parent_id, process.attributes["error.type"]) == (process.span_id, "timeout")
    assert len(emp.collector.trace(trace_id)) == 4
