"""The client on a line that fails repeats what may be repeated, gives up in time, and never makes two jobs of one."""

from __future__ import annotations

import json
import ssl
import time

import pytest

from emp_core.client import AsyncEmpClient, EmpClient, JobRequest
from emp_core.client.connecting import Line
from emp_core.errors import EmpError, SettingsError, StoreUnavailable, Unreachable, WaitTimedOut
from support.broken_server import HANG_UP, answer, broken_server, stream
from support.processes import free_port

pytestmark = pytest.mark.anyio

JOB = {"id": "01hzzzzzzzzzzzzzzzzzzzzz00", "job_type": "text.echo", "state": "pending"}
DONE = {**JOB, "state": "completed", "result": 1}
AWAY = answer(503, {"type": "urn:emp:problem:store-unavailable", "detail": "away"}, retry_after="0")


def an_update(status: str, progress: float) -> tuple[str, dict[str, object]]:
    return "job_update", {
        "type": "job_update",
        "job_id": JOB["id"],
        "status": status,
        "progress": progress,
        "message": "",
        "timestamp": 1.0,
    }


@pytest.mark.parametrize("failure", [AWAY, HANG_UP, b"HTTP/1.1 202 Acc"], ids=["503", "hang-up", "cut"])
def test_a_submission_is_repeated_with_the_same_key_and_body(failure):
    with broken_server([failure, failure, answer(202, JOB)]) as server, EmpClient(server.url) as client:
        job = client.submit("text.echo", {"a": 1})

    assert job.id == JOB["id"]
    assert len(server.requests) == 3
    assert len({(request.headers["idempotency-key"], request.body) for request in server.requests}) == 1


async def test_the_asynchronous_client_repeats_a_submission_with_the_same_key():
    with broken_server([AWAY, HANG_UP, answer(202, JOB)]) as server:
        async with AsyncEmpClient(server.url) as client:
            job = await client.submit("text.echo", {"a": 1})

    assert job.id == JOB["id"]
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_two_submissions_have_two_keys():
    with broken_server([answer(202, JOB)] * 2) as server, EmpClient(server.url) as client:
        client.submit("text.echo", {})
        client.submit("text.echo", {})

    assert len({request.headers["idempotency-key"] for request in server.requests}) == 2


def test_a_batch_is_repeated_with_the_same_key_for_each_item():
    lines = b"\n".join(json.dumps(JOB).encode() for _ in range(2))
    good = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(lines), lines)
    with broken_server([HANG_UP, good]) as server, EmpClient(server.url) as client:
        client.submit_many([JobRequest("text.echo", {})] * 2)

    first, second = (json.loads(request.body) for request in server.requests)
    assert first == second
    assert len({item["idempotency_key"] for item in first}) == 2


def test_a_revive_whose_answer_was_lost_is_not_repeated():
    with broken_server([HANG_UP, answer(200, JOB)]) as server, EmpClient(server.url) as client:
        with pytest.raises(Unreachable, match=r"whether POST .*/revive was carried out is unknown"):
            client.revive(JOB["id"])

        assert len(server.requests) == 1


def test_a_server_that_nobody_runs_is_unreachable_when_patience_is_over():
    begun = time.monotonic()

    with EmpClient(f"http://127.0.0.1:{free_port()}", patience=0.5) as client, pytest.raises(Unreachable):
        client.stats()

    assert 0.1 < time.monotonic() - begun < 3


def test_a_server_that_stays_without_its_store_is_reported_as_that():
    with (
        broken_server([AWAY] * 50) as server,
        EmpClient(server.url, patience=0.3) as client,
        pytest.raises(StoreUnavailable),
    ):
        client.stats()


@pytest.mark.parametrize("body", [{"hello": "world"}, [], "text", None])
def test_an_answer_of_something_else_than_emp_is_an_error(body):
    with (
        broken_server([answer(200, body)]) as server,
        EmpClient(server.url) as client,
        pytest.raises(EmpError, match="not answered by an EMP server"),
    ):
        client.get("x")


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host", "http://", "redis://127.0.0.1", "http://[::"])
def test_what_is_not_the_url_of_a_server_is_refused_at_once(url):
    with pytest.raises(SettingsError):
        EmpClient(url)


def test_a_dropped_stream_is_opened_again_and_watched_to_the_end():
    answers = [
        stream(("job", JOB), an_update("in_progress", 0.25)),
        HANG_UP,
        stream(),
        AWAY,
        stream(("job", {**JOB, "state": "in_progress", "progress": {"fraction": 0.5, "message": ""}})),
        stream(("job", DONE)),
    ]
    with broken_server(answers) as server, EmpClient(server.url) as client:
        seen = [(update.state, update.progress.fraction) for update in client.watch(JOB["id"])]

    assert seen == [("pending", 0.0), ("in_progress", 0.25), ("in_progress", 0.5), ("completed", 0.0)]


async def test_the_asynchronous_client_opens_a_dropped_stream_again():
    answers = [stream(("job", JOB)), HANG_UP, stream(("job", JOB), an_update("completed", 1.0))]
    with broken_server(answers) as server:
        async with AsyncEmpClient(server.url) as client:
            seen = [update.state async for update in client.watch(JOB["id"])]

    assert seen == ["pending", "completed"]


def test_watching_ends_as_unreachable_when_the_server_stays_away():
    with broken_server([stream(("job", JOB))]) as server, EmpClient(server.url, patience=0.5) as client:
        updates = client.watch(JOB["id"])

        assert next(updates).state == "pending"
        with pytest.raises(Unreachable):
            next(updates)


def test_an_event_of_another_kind_is_passed_over():
    events = [("bye", {}), ("job", JOB), ("comment", "text"), an_update("failed", 0.5)]
    with broken_server([stream(*events)]) as server, EmpClient(server.url) as client:
        assert [update.state for update in client.watch(JOB["id"])] == ["pending", "failed"]


def test_waiting_goes_on_when_the_server_answers_early_or_drops_the_line():
    with (
        broken_server([answer(200, JOB), HANG_UP, AWAY, answer(200, DONE)]) as server,
        EmpClient(server.url) as client,
    ):
        assert client.wait(JOB["id"]).result == 1


def test_waiting_ends_with_its_time_limit():
    with (
        broken_server([answer(200, JOB)] * 20) as server,
        EmpClient(server.url) as client,
        pytest.raises(WaitTimedOut, match="it goes on"),
    ):
        client.wait(JOB["id"], timeout=0.3)


def test_the_key_is_sent_as_a_bearer_token_and_not_shown():
    with broken_server([answer(200, JOB)]) as server, EmpClient(server.url, api_key="s3cret") as client:
        client.get("x")

        assert "s3cret" not in repr(client._line)
    assert server.requests[0].headers["authorization"] == "Bearer s3cret"


def test_the_environment_is_not_looked_at(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("EMP_URL", "http://127.0.0.1:1")

    with broken_server([answer(200, JOB)]) as server, EmpClient(server.url) as client:
        assert client.get("x").id == JOB["id"]


def test_certificates_are_read_and_checked_where_the_line_is_encrypted():
    assert Line("https://jobs.example").client_arguments()["verify"] is True


def test_a_line_that_is_not_encrypted_trusts_no_certificate():
    context = Line("http://jobs.example").client_arguments()["verify"]

    assert context.get_ca_certs() == []
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
