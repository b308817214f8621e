"""The spans of submissions, over HTTP: which trace they are in, what they say, and that no header is an error."""

from __future__ import annotations

import json
import socket

import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from support.serving import ANYTHING, WORDS, running
from support.serving_fixtures import settings, store, worker
from support.spans import KeptSpans

__all__ = ["settings", "store", "worker"]
pytestmark = pytest.mark.anyio

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
MARKER = "canary-of-a-payload"
TYPED = f"/v1/job-types/{WORDS.job_type}/jobs"


@pytest.fixture
def kept():
    return KeptSpans()


@pytest.fixture
def server(settings, kept):
    with running(settings, kept.tracer) as server:
        yield server


@pytest.fixture
async def client(server, store):
    async with httpx2.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
        client.headers["traceparent"] = PARENT
        yield client


def envelope(job_type=ANYTHING.job_type, payload=None, **options):
    return {"job_type": job_type, "payload": payload, **options}


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/jobs", envelope(WORDS.job_type, {"text": MARKER})), (TYPED, {"text": MARKER})],
)
async def test_a_submission_is_a_span_that_its_job_goes_on_from(client, kept, worker, path, body):
    """It is the caller's child, and says which job of which type; nothing of the payload."""
    answer = await client.post(path, json=body)

    [span] = kept.all()
    job = await worker.claim(WORDS.job_type)
    assert (span.name, span.kind) == (f"submit {WORDS.job_type}", SpanKind.PRODUCER)
    assert (format_trace_id(span.context.trace_id), format_span_id(span.parent.span_id)) == (TRACE, CALLER)
    assert job.trace == f"00-{TRACE}-{format_span_id(span.context.span_id)}-01"
    assert span.attributes["messaging.message.id"] == answer.json()["id"] == job.job_id
    assert span.status.status_code is StatusCode.UNSET
    assert MARKER not in span.to_json()


async def test_a_batch_is_one_span_that_all_its_jobs_go_on_from(client, kept, worker):
    """Also where some of it was refused; the types of its jobs do not become names."""
    wrong = envelope("no.such.type")
    batch = [envelope(), envelope(WORDS.job_type, {"text": "a"}), wrong]

    answer = await client.post("/v1/jobs/batch", json=batch)

    [span] = kept.all()
    assert answer.status_code == 200
    assert (span.name, span.attributes["messaging.batch.message_count"]) == ("submit", 2)
    traces = {(await worker.claim(each)).trace for each in (ANYTHING.job_type, WORDS.job_type)}
    assert traces == {f"00-{TRACE}-{format_span_id(span.context.span_id)}-01"}


async def test_a_batch_of_one_type_is_named_after_it(client, kept):
    await client.post("/v1/jobs/batch", json=[envelope(), envelope()])

    [span] = kept.all()
    assert span.name == f"submit {ANYTHING.job_type}"


@pytest.mark.parametrize(
    ("body", "name", "problem"),
    [
        (envelope(WORDS.job_type, {"text": 1, MARKER: MARKER}), f"submit {WORDS.job_type}", "invalid-payload"),
        (envelope(f"no.such.{MARKER}"), "submit", "unknown-job-type"),
        (envelope(priority=MARKER), "submit", "invalid-request"),
    ],
)
async def test_a_refused_submission_says_which_problem_it_was(client, kept, body, name, problem):
    """And neither what it held nor, where there is none, the name of its type."""
    answer = await client.post("/v1/jobs", json=body)

    [span] = kept.all()
    assert answer.json()["type"].endswith(problem)
    assert (span.name, span.attributes["error.type"]) == (name, problem)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert MARKER not in span.to_json()


async def test_who_may_not_submit_makes_no_span(client, kept):
    """Nor does what is no submission."""
    await client.post("/v1/jobs", content=b"{}", headers={"content-type": "text/plain"})
    await client.get("/v1/jobs")

    assert kept.all() == ()


async def test_a_repeated_submission_names_the_first_job(client, kept, worker):
    """The job keeps the trace that it was stored with."""
    headers = {"idempotency-key": "once"}
    first = await client.post("/v1/jobs", json=envelope(), headers=headers)
    again = await client.post("/v1/jobs", json=envelope(), headers=headers | {"traceparent": PARENT[:-2] + "00"})

    [span] = kept.all()
    job = await worker.claim(ANYTHING.job_type)
    assert first.json()["id"] == again.json()["id"] == job.job_id == span.attributes["messaging.message.id"]
    assert job.trace.split("-")[2] == format_span_id(span.context.span_id)


async def test_a_caller_that_does_not_sample_is_heeded(client, kept, worker):
    """The job knows it too, so that its worker does not."""
    await client.post("/v1/jobs", json=envelope(), headers={"traceparent": PARENT[:-2] + "00"})

    assert kept.all() == ()
    assert (await worker.claim(ANYTHING.job_type)).trace.endswith("-00")


async def test_a_state_is_passed_on(client, worker):
    await client.post("/v1/jobs", json=envelope(), headers={"tracestate": "vendor=some thing,other=1"})

    assert (await worker.claim(ANYTHING.job_type)).trace.endswith("-01 vendor=some thing,other=1")


HEADERS = {
    "none": [],
    "twice": [b"traceparent: " + PARENT.encode(), b"traceparent: " + PARENT.encode()],
    "upper case": [b"traceparent: " + PARENT.upper().encode()],
    "version ff": [b"traceparent: ff" + PARENT[2:].encode()],
    "zeros": [b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"],
    "long": [b"traceparent: " + b"0" * 20_000],
    "no UTF-8": [b"traceparent: \xff\xfe\x80"],
    "empty": [b"traceparent:"],
    "a long state alone": [b"tracestate: " + b"a=1," * 5_000],
    "control characters": [b"traceparent: " + PARENT.encode() + b"\x01", b"tracestate: \xe2\x80\xae=1"],
}


@pytest.mark.parametrize("lines", HEADERS.values(), ids=HEADERS)
async def test_no_header_is_an_error_and_an_invalid_one_begins_a_new_trace(server, store, kept, worker, lines):
    body = json.dumps(envelope()).encode()
    head = [b"POST /v1/jobs HTTP/1.1", b"host: 127.0.0.1", b"content-type: application/json", *lines]
    head += [b"connection: close", b"content-length: %d" % len(body), b"", body]

    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(b"\r\n".join(head))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    if b" 400 " in answer.split(b"\r\n")[0]:  # what no header may hold is refused by who reads them
        assert kept.all() == ()
        return
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    [span] = kept.all()
    assert span.parent is None
    assert format_trace_id(span.context.trace_id) != TRACE
    assert (await worker.claim(ANYTHING.job_type)).trace.split("-")[2] == format_span_id(span.context.span_id)
