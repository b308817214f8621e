"""http.request against a real server."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from emp_plugin_http import REQUEST
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.testing import Cancelled, Completed, Failed, JobRun, Retry, run_job
from support.http_service import Reply, Service


def ask(url: str, **payload: Any) -> JobRun:
    return run_job(REQUEST, {"url": url, "timeout_seconds": 10, **payload})


def code(run: JobRun) -> Any:
    assert run.error is not None, run.result
    return run.error.get("code")


def test_the_answer_is_the_result(service: Service):
    service.json("/things/7?full=1", {"name": "lamp"}, X_Kind="thing")

    run = ask(f"{service.url}/things/7?full=1")

    assert isinstance(run.outcome, Completed)
    assert run.result["status"] == 200
    assert run.result["body"] == '{"name": "lamp"}'
    assert run.result["bytes"] == 16
    assert run.result["headers"]["x-kind"] == "thing"
    assert run.result["url"] == f"{service.url}/things/7"


@pytest.mark.parametrize(
    ("given", "sent", "kind"),
    [
        ({"body": "grüße"}, "grüße".encode(), "text/plain; charset=utf-8"),
        ({"body_base64": "AP8="}, b"\x00\xff", None),
        ({"json_body": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
        ({"json_body": {"a": 1}, "headers": {"Content-Type": "application/x"}}, b'{"a":1}', "application/x"),
    ],
    ids=["text", "bytes", "json", "own type"],
)
def test_a_body_is_sent_with_its_type(service: Service, given: dict[str, Any], sent: bytes, kind: str | None):
    service.routes["/"] = Reply(201)

    run = ask(f"{service.url}/", method="POST", **given)

    assert run.result["status"] == 201
    (asked,) = service.asked
    assert (asked.method, asked.body, asked.headers.get("content-type")) == ("POST", sent, kind)


def test_a_submission_carries_the_jobs_id_unless_it_has_a_key(service: Service):
    service.routes["/"] = Reply(200)

    for payload in ({"method": "POST"}, {"method": "POST", "headers": {"Idempotency-Key": "mine"}}, {"method": "GET"}):
        run = ask(f"{service.url}/", **payload)

    keys = [asked.headers.get("idempotency-key") for asked in service.asked]
    assert keys[0] is not None
    assert len(keys[0]) == 26
    assert keys[1:] == ["mine", None]
    assert isinstance(run.outcome, Completed)


def test_bytes_that_are_no_text_come_in_base64(service: Service):
    service.routes["/"] = Reply(200, body=b"\x00\xff")

    run = ask(f"{service.url}/")

    assert (run.result["body"], run.result["body_base64"]) == (None, "AP8=")


def test_what_is_expected_is_a_success(service: Service):
    service.routes["/"] = Reply(404, body=b"no")

    assert ask(f"{service.url}/", expect=[404]).result["status"] == 404
    assert code(ask(f"{service.url}/", expect=[200])) == "status_404"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_service_in_trouble_is_asked_again_when_it_says(service: Service, status: int):
    service.routes["/"] = Reply(status, {"Retry-After": "7"})

    run = ask(f"{service.url}/")

    assert isinstance(run.outcome, Retry)
    assert run.outcome.delay == timedelta(seconds=7)
    assert code(run) == f"status_{status}"


def test_retry_after_may_be_a_date(service: Service):
    at = datetime.now(UTC) + timedelta(seconds=100)
    service.routes["/"] = Reply(503, {"Retry-After": format_datetime(at, usegmt=True)})

    run = ask(f"{service.url}/")

    assert isinstance(run.outcome, Retry)
    assert timedelta(seconds=80) < run.outcome.delay <= timedelta(seconds=100)


@pytest.mark.parametrize("text", ["999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_service_does_not_decide_how_long_a_job_sleeps(service: Service, text: str):
    service.routes["/"] = Reply(503, {"Retry-After": text})

    run = ask(f"{service.url}/")

    assert isinstance(run.outcome, Retry)
    assert run.outcome.delay == timedelta(hours=1)


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "", "٣"])
def test_a_retry_after_that_cannot_be_read_is_none(service: Service, text: str):
    service.routes["/"] = Reply(503, {"Retry-After": text.encode().decode("latin-1")})

    run = ask(f"{service.url}/")

    assert isinstance(run.outcome, Retry)
    assert run.outcome.delay < timedelta(seconds=10)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_a_refusal_fails_at_once(service: Service, status: int):
    service.routes["/"] = Reply(status, body=b"you may not")

    run = ask(f"{service.url}/")

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert run.error["message"] == f"the service answered {status}: you may not"


def test_an_answer_beyond_the_limit_is_not_read_to_its_end(service: Service):
    service.routes["/"] = Reply(200, body=b"x" * 300_000)

    assert code(ask(f"{service.url}/", response_limit_bytes=1_000)) == "response_too_large"


def test_the_operators_limit_wins(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_HTTP_RESPONSE_LIMIT_BYTES", "10")
    service.routes["/"] = Reply(200, body=b"x" * 11)

    assert code(ask(f"{service.url}/")) == "response_too_large"


def test_a_compressed_answer_is_refused(service: Service):
    service.routes["/"] = Reply(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")

    assert code(ask(f"{service.url}/")) == "encoded_response"
    assert service.asked[0].headers["accept-encoding"] == "identity"


def test_redirects_are_followed_and_counted(service: Service):
    service.routes["/a"] = Reply(302, {"Location": "/b"})
    service.routes["/b"] = Reply(307, {"Location": f"{service.url}/c"})
    service.json("/c", 1)

    run = ask(f"{service.url}/a")

    assert (run.result["redirects"], run.result["url"], run.result["body"]) == (2, f"{service.url}/c", "1")


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_what_becomes_of_a_post_is_as_http_says(service: Service, status: int, method: str):
    service.routes["/a"] = Reply(status, {"Location": "/b"})
    service.routes["/b"] = Reply(200)

    ask(f"{service.url}/a", method="POST", json_body=1)

    assert (service.asked[1].method, service.asked[1].body) == (method, b"1" if method == "POST" else b"")


def test_no_redirects_are_followed_when_none_may_be(service: Service):
    service.routes["/"] = Reply(302, {"Location": "/b"})

    assert ask(f"{service.url}/", redirects=0, expect=[302]).result["status"] == 302


def test_a_circle_of_redirects_ends(service: Service):
    service.routes["/"] = Reply(302, {"Location": "/"})

    assert code(ask(f"{service.url}/", redirects=3)) == "too_many_redirects"
    assert len(service.asked) == 4


def test_secrets_do_not_go_along_to_another_origin(service: Service):
    service.routes["/"] = Reply(302, {"Location": f"http://localhost:{service.port}/b"})
    service.routes["/b"] = Reply(200)

    ask(f"{service.url}/", headers={"Authorization": "secret", "X-Key": "secret", "Accept": "text/plain"})

    assert "secret" in service.asked[0].headers.values()
    assert "secret" not in service.asked[1].headers.values()
    assert service.asked[1].headers["accept"] == "text/plain"


def test_nobody_listens(service: Service):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = ask(f"http://127.0.0.1:{unused.getsockname()[1]}/")

    assert isinstance(run.outcome, Retry)
    assert code(run) == "connection_failed"


def test_a_service_that_never_answers_is_left(service: Service):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_seconds=0.3)

    assert isinstance(run.outcome, Retry)
    assert code(run) == "timeout"


def test_it_can_be_called_off(service: Service):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        run = run_job(REQUEST, {"url": url}, cancel_at=0.0)

    assert isinstance(run.outcome, Cancelled)


def test_what_is_no_http_is_a_failed_connection(service: Service):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail ready\r\n")

        talker = threading.Thread(target=talk)
        talker.start()
        run = ask(f"http://127.0.0.1:{server.getsockname()[1]}/")
        talker.join()

    assert code(run) == "connection_failed"


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"url": ""}, "/url"),
        ({"url": "http://x", "method": "CONNECT"}, "/method"),
        ({"url": "http://x", "headers": {"Host": "y"}}, "/headers"),
        ({"url": "http://x", "headers": {"Content-Length": "7"}}, "/headers"),
        ({"url": "http://x", "headers": {"X": "a\r\nY: b"}}, "/headers"),
        ({"url": "http://x", "headers": {"X y": "a"}}, "/headers"),
        ({"url": "http://x", "headers": {"X": "\u2028"}}, "/headers"),
        ({"url": "http://x", "body": "a", "json_body": 1}, ""),
        ({"url": "http://x", "body_base64": "=a"}, ""),
        ({"url": "http://x", "timeout_seconds": 0}, "/timeout_seconds"),
        ({"url": "http://x", "expect": [99]}, "/expect/0"),
        ({"url": "http://x", "surprise": 1}, "/surprise"),
    ],
)
def test_a_payload_that_cannot_be_sent_is_refused(payload: dict[str, Any], pointer: str):
    run = run_job(REQUEST, payload)

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [pointer]


def test_the_contract_of_plugins_is_kept():
    findings = check_job_type(REQUEST)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
