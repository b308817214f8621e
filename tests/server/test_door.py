"""The door: who may come in, on every method and path, and what every answer wears."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from emp_server.door import Door
from emp_server.metrics.traffic import Traffic
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings
from emp_server.updates import Updates
from support.waiting import wait_until_async

from .conftest import running, stored_jobs

pytestmark = pytest.mark.anyio

PATHS = ["/", "/v1/jobs", "/v1/jobs/batch", "/v1/events", "/livez", "/openapi.json", "/docs", "/ui/style.css", "/nope"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it here
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]


FOREIGN = [
    {"host": "evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "evil.example:8321"},
    {"host": "localhost@evil.example"},
    {"host": "10.0.0.1"},
    {"host": ""},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site"},
]


async def test_a_foreign_request_is_refused_on_every_path(client, store):
    for method, headers, path in itertools.product(METHODS, FOREIGN, PATHS):
        case = (method, headers, path)
        answer = await client.request(
            method,
            path,
            headers={"content-type": "application/json", **headers},
            content=b'{"job_type":"any.thing","payload":1}' if method == "POST" else None,
        )
        assert answer.status_code == 403, case
        if method != "HEAD":
            assert answer.json()["type"] == "urn:emp:problem:not-allowed", case
    assert await stored_jobs(store) == 0


async def test_every_spelling_of_loopback_is_ours(client):
    for host in (
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost:99",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:8321",
    ):
        assert (await client.get("/livez", headers={"host": host})).status_code == 200, host


async def test_a_page_of_our_own_may_come_in(client, server):
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}

    assert (await client.get("/livez", headers=headers)).status_code == 200


async def test_a_configured_name_is_ours(settings, store):
    named = settings.model_copy(update={"allowed_hosts": ("emp.internal",)})
    with running(named) as server:
        statuses = [await status(server, host) for host in ("emp.internal:80", "EMP.internal", "other.internal")]

    assert statuses == [200, 200, 403]


@pytest.mark.parametrize(
    ("listens_on", "host", "is_ours"),
    [
        ("127.0.0.1", "192.168.1.9", False),
        (EVERYWHERE, "192.168.1.9:8321", True),
        (EVERYWHERE, "[fe80::1]", True),
        (EVERYWHERE, "rebound.example", False),
        (EVERYWHERE, EVERYWHERE, True),
        ("emp.lan", "emp.lan", True),
    ],
)
async def test_beyond_loopback_an_address_is_ours_and_a_name_is_not(listens_on, host, is_ours):
    reached = []

    async def app(scope, receive, send):
        reached.append(scope)

    async def nothing(*_):
        return None

    door = Door(app, ServerSettings(host=listens_on), Refusals(), Traffic())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}

    await door(scope, nothing, nothing)

    assert bool(reached) is is_ours


async def status(server, host):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET /livez HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_a_request_without_a_host_is_refused(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /livez HTTP/1.0\r\n\r\n")

    assert b"403" in await reader.readline()

    writer.close()
    await writer.wait_closed()


async def test_every_answer_wears_its_armour(client):
    for path in ("/", "/v1/jobs?state=pending", "/nope", "/livez", "/ui/style.css"):
        headers = (await client.get(path)).headers

        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["content-security-policy"].startswith("default-src 'none'"), path
        assert headers["referrer-policy"] == ("same-origin" if path == "/" else "no-referrer"), path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["x-request-id"], path
        assert "server" not in headers, path
        assert "access-control-allow-origin" not in headers, path


async def test_a_preflight_is_not_answered_with_permission(client, server):
    headers = {"origin": server.url, "access-control-request-method": "POST"}

    answer = await client.options("/v1/jobs", headers=headers)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_request_keeps_the_id_that_it_brought(client):
    assert (await client.get("/livez", headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"


async def test_a_request_id_that_could_do_harm_is_replaced(client):
    for request_id in ("a b", "x" * 65, "<script>"):
        answer = await client.get("/livez", headers={"x-request-id": request_id})

        assert answer.headers["x-request-id"] != request_id


async def test_an_unexpected_fault_is_a_problem_without_a_traceback(client, store, monkeypatch):
    def explode(*_):
        raise ZeroDivisionError("a secret place")

    monkeypatch.setattr(Updates, "listen", explode)

    with capture_logs() as logged:
        answer = await client.get("/v1/jobs/01m8546fn3mh095yyvx0xhaf00?wait=1", headers={"x-request-id": "find-me"})
        await wait_until_async(lambda: _first(logged))

    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:emp:problem:internal-error"
    assert answer.json()["request_id"] == "find-me"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    [line] = [line for line in logged if line["event"] == "request_failed"]
    assert (line["request_id"], line["log_level"], line["exc_info"]) == ("find-me", "error", True)


async def _first(logged):
    return [line for line in logged if line["event"] == "request_failed"]
