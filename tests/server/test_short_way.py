"""A usual submission goes the short way, and nobody can tell; whatever else it is goes the long one."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from emp_core.store import JobStore, open_store
from emp_server import short_way
from emp_server.connections import PatientProtocol
from emp_server.routes.submission import SubmitJob
from faults.proxy import GOOD, Line, Proxy, Trap
from support.plain_http import asking
from support.waiting import wait_until_async
from support.wire import ENVELOPE, LIVEZ, connected, post

from .conftest import ANYTHING, register, running, stored_jobs

pytestmark = pytest.mark.anyio

LONG = {"prefer": "handling=lenient"}
"""Asks for nothing, but has to be looked at."""
STALLED = Line(stalled=frozenset({"down"}))


@pytest.fixture
def settings(settings):
    """Let what is known of types and keys stay so: only the first submission has to ask the store."""
    hour = timedelta(hours=1)
    return settings.model_copy(update={"job_types_fresh_for": hour, "keys_fresh_for": hour})


@pytest.fixture
async def warm(client):
    """Give a client of a server that knows the types."""
    assert (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 0})).status_code == 202
    return client


def crowd_of(server):
    return server.server.app.parts.crowd


def told(answer):
    """Give what an answer says, without what each has for itself."""
    own = {"date", "location", "x-request-id", "content-length"}
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in own)
    document = answer.json()
    for name in ("id", "created_at", "scheduled_at", "expires_at", "urls", "request_id"):
        document.pop(name, None)
    return answer.status_code, headers, document


async def test_a_usual_submission_does_without_the_long_way(server, store, warm, monkeypatch):
    monkeypatch.setattr(SubmitJob, "__call__", None)
    async with connected(server) as wire:
        wire.writer.write(post())
        status, head, body = await wire.answer()

    assert status == 202
    assert b'"state":"pending"' in body
    assert b"\r\nlocation: /v1/jobs/" in head
    assert await stored_jobs(store) == 2


BODIES = [
    b'{"job_type":"any.thing","payload":{"a":[1,2,"\xc3\xa9"]}}',
    b'{"payload":{"text":"a"},"priority":7,"job_type":"text.words","tags":["x"]}',
    b'{"job_type":"any.thing","payload":1,"delay":60}',
    b'{"job_type":"any.thing","payload":1,"expires_in":60}',
    b'{"job_type":"any.thing","payload":1,"expires_at":"2100-01-01T00:00:00Z"}',
    b'{"job_type":"any.thing","payload":1,"expires_at":1}',
    b'{"job_type":"any.thing","payload":1,"on_worker_lost":"fail"}',
    b'{"job_type":"any.thing","payload":1,"on_worker_lost":"ask"}',
    b'{"job_type":"text.words","payload":{"text":1,"more":2}}',
    b'{"job_type":"text.words","payload":{"text":"' + b"a" * 2000 + b'"}}',
    b'{"job_type":"any.think","payload":1}',
    b'{"job_type":"any.thing","payload":1,"payload":2}',
    b'{"job_type":"any.thing","payload":1,"priority":100000}',
    b'{"job_type":"any.thing"',
    b"",
]


async def test_both_ways_apply_the_server_s_default_expiry(settings, namespace):
    settings = settings.model_copy(update={"default_expires_in": timedelta(minutes=5)})
    async with open_store(settings.redis_url, namespace) as store:
        await store.types.announce([ANYTHING])
    with running(settings) as server:
        async with connected(server) as wire:
            for headers in ((), (b"prefer: handling=lenient",)):
                wire.writer.write(post(*headers))
                status, _, body = await wire.answer()
                assert status == 202, body
                job = json.loads(body)
                waits = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["created_at"])
                assert waits == timedelta(minutes=5)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_both_ways_answer_alike(warm, body):
    headers = {"content-type": "application/json"}

    short = await warm.post("/v1/jobs", content=body, headers=headers)
    long = await warm.post("/v1/jobs", content=body, headers={**headers, **LONG})

    assert told(short) == told(long)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"origin": "http://evil.example"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"content-encoding": "gzip"},
        {"authorization": "Bearer nonsense"},
        {"cookie": "emp_session=nobody"},
    ],
    ids="+".join,
)
async def test_both_ways_refuse_alike(warm, headers):
    sent = {"content-type": "application/json", **headers}
    body = b'{"job_type":"any.thing","payload":1}'

    short = await warm.post("/v1/jobs", content=body, headers=sent)
    long = await warm.post("/v1/jobs", content=body, headers={**sent, **LONG})

    assert told(short) == told(long)


async def test_requests_that_follow_one_another_at_once_are_answered_in_order(server, store, warm):
    async with connected(server) as wire:
        wire.writer.write(post() + post() + LIVEZ + post() + post(b"Connection: close"))
        answers = await wire.ended()

    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [202, 202, 200, 202, 202]
    assert await stored_jobs(store) == 5


@pytest.mark.parametrize(
    "request_text",
    [post(b"Connection: close"), post().replace(b"HTTP/1.1", b"HTTP/1.0")],
    ids=["asked", "HTTP/1.0"],
)
async def test_a_connection_that_is_to_be_closed_is(server, warm, request_text):
    async with connected(server) as wire:
        wire.writer.write(request_text)
        answer = await wire.ended()

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nconnection: close\r\n" in answer


async def test_a_body_that_comes_in_pieces_is_waited_for(server, store, warm, monkeypatch):
    monkeypatch.setattr(SubmitJob, "__call__", None)
    text = post()
    async with connected(server) as wire:
        for piece in (text[:30], text[30:-20], text[-20:-5], text[-5:]):
            wire.writer.write(piece)
            await wire.writer.drain()
            await asyncio.sleep(0)
        status, _, _ = await wire.answer()

    assert status == 202
    assert await stored_jobs(store) == 2


async def test_a_client_that_waits_to_be_told_to_go_on_is_told(server, warm):
    text = post(b"Expect: 100-continue")
    async with connected(server) as wire:
        wire.writer.write(text)
        first = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 20)
        status, _, _ = await wire.answer()

    assert (first[:12], status) == (b"HTTP/1.1 100", 202)


async def test_what_follows_and_is_no_http_is_refused_and_the_job_is_stored(server, store, warm):
    async with connected(server) as wire:
        wire.writer.write(post() + b"\x00\x01 nonsense\r\n\r\n")
        heard = await wire.ended()

    assert b"HTTP/1.1 400 " in heard
    await wait_until_async(lambda: _stored(store, 2))
    await wait_until_async(lambda: _free(server))


async def test_who_reads_late_gets_every_answer(server, warm):
    count = 400
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", server.port))
        await loop.sock_sendall(slow, post() * (count - 1) + post(b"Connection: close"))
        answers = b""
        while part := await asyncio.wait_for(loop.sock_recv(slow, 65536), 30):
            answers += part

    assert answers.count(b"HTTP/1.1 202 ") == count


async def test_a_head_that_repeats_is_not_read_again(server, store, warm, monkeypatch):
    heads = []
    read = PatientProtocol.on_headers_complete
    monkeypatch.setattr(PatientProtocol, "on_headers_complete", lambda self: heads.append(self.url) or read(self))

    async with connected(server) as wire:
        requests = [post(), post(body=ENVELOPE + b" " * 100), post(), LIVEZ, post(b"X-Request-Id: a"), post()]
        statuses = []
        for request in requests:
            wire.writer.write(request)
            statuses.append((await wire.answer())[0])

    assert statuses == [202, 202, 202, 200, 202, 202]
    assert heads == [b"/v1/jobs", b"/livez", b"/v1/jobs", b"/v1/jobs"]
    assert await stored_jobs(store) == 6


async def test_a_repeated_head_may_bring_what_is_refused_or_comes_in_pieces(server, store, warm):
    bad, text = post(body=b'{"job_type":"any.thing"'), post()
    async with connected(server) as wire:
        statuses = []
        for pieces in ([text], [bad], [text[:-3], text[-3:]], [text + text], [text]):
            for piece in pieces:
                wire.writer.write(piece)
                await wire.writer.drain()
                await asyncio.sleep(0)
            statuses.append((await wire.answer())[0])
        statuses.append((await wire.answer())[0])

    assert statuses == [202, 400, 202, 202, 202, 202]
    assert await stored_jobs(store) == 6


async def test_a_connection_that_idles_after_its_answer_is_closed(server, warm):
    server.server.config.timeout_keep_alive = 1
    async with connected(server) as wire:
        for _ in range(2):
            wire.writer.write(post())
            await wire.answer()

        assert await wire.ended() == b""


async def test_requests_keep_their_ids_or_get_new_ones(server, warm):
    body = {"job_type": "any.thing", "payload": 1}

    kept = await warm.post("/v1/jobs", json=body, headers={"x-request-id": "find-me"})
    made = [(await warm.post("/v1/jobs", json=body)).headers["x-request-id"] for _ in range(2)]

    assert kept.headers["x-request-id"] == "find-me"
    assert made[0] != made[1]


async def test_they_are_counted_as_all_others(warm):
    answers = [await warm.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1}) for _ in range(3)]

    metrics = (await warm.get("/metrics")).text
    assert {answer.status_code for answer in answers} == {202}
    assert 'emp_http_requests_total{method="POST",route="/v1/jobs",status="2xx"} 4.0' in metrics
    assert 'emp_http_request_duration_seconds_count{method="POST",route="/v1/jobs"} 4.0' in metrics


async def test_a_rate_is_told_and_held(settings, store):
    with running(settings.model_copy(update={"submissions_per_second": 2})) as server:
        async with asking(server.url) as client:
            body = {"job_type": "any.thing", "payload": 1}
            answers = [await client.post("/v1/jobs", json=body) for _ in range(20)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert answers[1].headers["ratelimit-policy"] == '"submissions";q=2;w=1'
    assert refused
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.json()["type"] for answer in refused} == {"urn:emp:problem:rate-limited"}


async def test_a_full_line_is_said(settings, store):
    with running(settings.model_copy(update={"waiting_limit_per_type": 2})) as server:
        async with asking(server.url) as client:
            body = {"job_type": "any.thing", "payload": 1}
            answers = [await client.post("/v1/jobs", json=body) for _ in range(3)]
            long = await client.post("/v1/jobs", json=body, headers=LONG)

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert told(answers[2]) == told(long)


async def test_a_fault_is_a_problem_without_a_traceback(warm, server, monkeypatch):
    def explode(*_):
        raise ZeroDivisionError("a secret place")

    monkeypatch.setattr(short_way, "new_job_json", explode)
    with capture_logs() as logged:
        answer = await warm.post(
            "/v1/jobs", json={"job_type": "any.thing", "payload": 1}, headers={"x-request-id": "find-me"}
        )

    assert (answer.status_code, answer.json()["request_id"]) == (500, "find-me")
    assert "secret" not in answer.text
    [line] = [line for line in logged if line["event"] == "request_failed"]
    assert (line["request_id"], line["log_level"]) == ("find-me", "error")
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert crowd_of(server).submissions == 0


async def test_a_fault_on_the_way_to_the_store_fails_those_of_its_tick_and_no_other(warm, server, store, monkeypatch):
    def explode(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "submit_soon", explode)
        failed = await warm.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})
    stored = await warm.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})

    assert (failed.status_code, stored.status_code) == (500, 202)
    assert failed.json()["type"] == "urn:emp:problem:internal-error"
    assert crowd_of(server).submissions == 0


async def test_what_the_short_way_stumbles_over_goes_the_long_one(warm, monkeypatch):
    def explode(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(short_way, "parse_envelope", explode)

    assert (await warm.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})).status_code == 202


async def test_many_at_once_are_stored_each_once_and_told_their_own_ids(warm, store):
    bodies = [{"job_type": "any.thing", "payload": number} for number in range(60)]

    answers = await asyncio.gather(*(warm.post("/v1/jobs", json=body) for body in bodies))

    ids = [answer.json()["id"] for answer in answers]
    payloads = [(await warm.get(f"/v1/jobs/{job_id}/payload")).json() for job_id in ids]
    assert payloads == list(range(60))
    assert await stored_jobs(store) == 61


# Between the server and its store: a line that can be stalled and cut.


@pytest.fixture
def line(redis_url):
    with Proxy(urlsplit(redis_url).port) as line:
        yield line


@pytest.fixture
async def behind(line, settings, store, redis_url):
    """Give a server behind the line that knows the types."""
    url = redis_url.replace(str(urlsplit(redis_url).port), str(line.port))
    with running(settings.model_copy(update={"redis_url": url})) as server:
        async with connected(server) as wire:
            wire.writer.write(post())
            assert (await wire.answer())[0] == 202
        yield server


async def test_the_job_of_a_client_that_has_gone_is_stored_and_its_place_is_free(behind, line, store):
    line.set(STALLED)
    async with connected(behind) as wire:
        wire.writer.write(post())
        await wait_until_async(lambda: _stored(store, 2))
        assert crowd_of(behind).submissions == 1
    await wait_until_async(lambda: _connections(behind, 0))
    line.set(GOOD)

    await wait_until_async(lambda: _free(behind))
    async with connected(behind) as wire:
        wire.writer.write(post())
        assert (await wire.answer())[0] == 202


async def test_a_server_that_stops_waits_for_a_body_that_has_begun_to_come(server, store, warm):
    text = post()
    async with connected(server) as wire:
        wire.writer.write(text[:-3])
        await wait_until_async(lambda: _offered(server))
        server.server.should_exit = True
        await wait_until_async(lambda: _closes(server))
        wire.writer.write(text[-3:])
        heard = await wire.ended()

    assert heard.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nconnection: close\r\n" in heard


async def test_a_server_that_stops_answers_what_is_under_way(behind, line, store):
    line.set(STALLED)
    async with connected(behind) as wire:
        wire.writer.write(post())
        await wait_until_async(lambda: _stored(store, 2))
        behind.server.should_exit = True
        await wait_until_async(lambda: _closes(behind))
        line.set(GOOD)
        heard = await wire.ended()

    assert heard.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nconnection: close\r\n" in heard


def is_answer(data: bytes) -> bool:
    """Tell a submission's answer from the publications, which say `pending`, too."""
    return b"$7\r\npending" in data


async def test_a_store_that_goes_away_is_a_503_that_says_whether_it_may_be_stored(behind, line, store):
    async with connected(behind) as wire:
        line.catch(Trap("down", is_answer, lambda: line.set(Line(is_refusing=True)) or False))
        wire.writer.write(post())
        status, head, body = await wire.answer()

    assert status == 503
    assert b"\r\nretry-after: 1\r\n" in head
    assert b'"outcome":"unknown"' in body


async def test_a_job_that_went_on_while_its_answer_was_lost_is_told_as_it_is(behind, line, settings, store):
    def claimed():
        async def claim():
            async with open_store(settings.redis_url, settings.namespace) as own:
                hand = await register(own)
                for _ in range(2):
                    await hand.claim("any.thing")

        asyncio.run(claim())
        return False

    async with connected(behind) as wire:
        line.catch(Trap("down", is_answer, claimed))
        wire.writer.write(post())
        status, head, body = await wire.answer()

    assert status == 202
    assert b'"state":"claimed"' in body
    assert b"\r\nlocation: /v1/jobs/" in head
    assert await stored_jobs(store) == 2
    assert crowd_of(behind).submissions == 0


async def _stored(store, count):
    return await stored_jobs(store) == count


async def _free(server):
    return crowd_of(server).submissions == 0


async def _connections(server, count):
    return len(server.server.server_state.connections) == count


async def _closes(server):
    return not any(each.is_serving() for each in server.server.servers)


async def _offered(server):
    return any(getattr(each, "_is_offered", False) for each in server.server.server_state.connections)
