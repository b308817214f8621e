"""A submission that finds no room is shed where its head is read; its connection and everybody else go on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import httpx2
import pytest

from emp_server import connections
from support.serving import RunningServer
from support.waiting import wait_until_async
from support.wire import ENVELOPE, LIVEZ, connected, post

from .conftest import running, stored_jobs

pytestmark = pytest.mark.anyio

SHED = b"urn:emp:problem:overloaded"


@contextmanager
def full(server: RunningServer) -> Iterator[None]:
    """Let the server have as many submissions to work on as it may, while the body runs."""
    crowd = server.server.app.parts.crowd
    places = []
    while (place := crowd.enter()) is not None:
        places.append(place)
    try:
        yield
    finally:
        for place in places:
            place.leave()


@pytest.fixture
async def wire(server):
    async with connected(server) as wire:
        yield wire


@pytest.mark.parametrize(
    "path", [b"/v1/jobs", b"/v1/jobs?wait=5", b"/v1/jobs/batch", b"/v1/job-types/any.thing/jobs?priority=1"]
)
async def test_every_way_to_submit_is_shed_and_says_when_to_come_again(server, store, wire, path):
    with full(server):
        wire.writer.write(post(path=path))
        status, head, body = await wire.answer()

    assert (status, SHED in body) == (503, True)
    assert b"\r\nretry-after: 1\r\n" in head
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    assert b'"outcome":"not_done"' in body
    assert await stored_jobs(store) == 0


async def test_the_connection_goes_on_and_submits_when_there_is_room(server, store, wire):
    with full(server):
        wire.writer.write(post())
        shed, _, _ = await wire.answer()
    wire.writer.write(post())
    status, _, _ = await wire.answer()

    assert (shed, status) == (503, 202)
    assert await stored_jobs(store) == 1


async def test_what_is_no_submission_is_answered(server, client):
    with full(server):
        assert (await client.get("/v1/jobs")).status_code == 200
        assert (await client.get("/v1/stats")).status_code == 200


async def test_a_check_of_a_payload_is_shed_as_a_submission_is(server, client):
    with full(server):
        assert (await client.post("/v1/job-types/any.thing/validate", json=1)).status_code == 503

    assert (await client.post("/v1/job-types/any.thing/validate", json=1)).status_code == 204


async def test_requests_that_follow_one_another_are_answered_in_order(server, wire):
    with full(server):
        wire.writer.write(post() + LIVEZ + post())
        answers = [(await wire.answer())[0] for _ in range(3)]

    assert answers == [503, 200, 503]


@pytest.mark.parametrize("header", [b"Connection: close", b"Expect: 100-continue"])
async def test_a_connection_that_cannot_go_on_is_closed(server, wire, header):
    """Whoever asks whether to send its body has been told not to: what comes next would be no request."""
    with full(server):
        wire.writer.write(post(header))
        told = await wire.ended()

    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nconnection: close\r\n" in told.lower()


async def test_the_body_of_one_that_is_shed_is_read_and_dropped(server, store, wire):
    body = b'{"job_type":"any.thing","payload":"' + b"a" * 300_000 + b'"}'
    with full(server):
        wire.writer.write(post(body=b"", length=len(body)))
        shed, _, _ = await wire.answer()
        wire.writer.write(body + LIVEZ)
        status, _, _ = await wire.answer()

    assert (shed, status) == (503, 200)
    assert await stored_jobs(store) == 0


async def test_whoever_sends_no_body_after_that_is_closed(server, wire, monkeypatch):
    monkeypatch.setattr(connections, "LINGER", 0.1)
    with full(server):
        wire.writer.write(post(body=b"", length=1000))
        told = await wire.ended()

    assert told.startswith(b"HTTP/1.1 503 ")


async def test_an_idle_connection_that_was_shed_is_closed_as_any_other(server):
    server.server.config.timeout_keep_alive = 0.1
    async with connected(server) as wire:
        with full(server):
            wire.writer.write(post())
            await wire.answer()

        assert await wire.ended() == b""


@pytest.mark.parametrize(
    "request_",
    [post(kind=b"text/plain"), post(b"Origin: http://evil.example"), post(body=b"{"), post(path=b"/v1/jobs?what=1")],
    ids=["type", "origin", "body", "query"],
)
async def test_a_submission_that_is_refused_gives_its_place_back(server, wire, request_):
    wire.writer.write(request_)
    status, _, _ = await wire.answer()

    assert status in {400, 403, 415}
    await wait_until_async(lambda: is_empty(server))


async def test_who_waits_for_the_end_of_a_job_keeps_no_place(server, store, wire):
    wire.writer.write(post(path=b"/v1/jobs?wait=30"))
    await wait_until_async(lambda: is_waited_for(server))

    assert await is_empty(server)


async def test_a_body_that_is_still_to_come_keeps_no_place(server, store, client, wire):
    """Else whoever sends slowly could keep everybody out."""
    wire.writer.write(post(body=ENVELOPE[:10], length=len(ENVELOPE)))
    assert (await client.get("/livez")).status_code == 200  # the connection of before was read by then

    assert await is_empty(server)
    wire.writer.write(ENVELOPE[10:])
    status, _, _ = await wire.answer()
    assert status == 202


@pytest.mark.parametrize("seed", range(3))
async def test_requests_in_any_pieces_have_one_answer_each_in_order(settings, store, seed):
    """Twenty connections with thirty requests each, many of them in one piece, at a server with room for one."""
    chance = random.Random(seed)
    with running(settings.model_copy(update={"submissions_at_once": 1})) as server:

        async def converse() -> list[int]:
            kinds = [chance.random() < 0.7 for _ in range(30)]
            text = b"".join(post() if submits else LIVEZ for submits in kinds)
            cuts = sorted(chance.randrange(len(text)) for _ in range(chance.randrange(20)))
            async with connected(server) as wire:
                for begin, end in pairwise([0, *cuts, len(text)]):
                    wire.writer.write(text[begin:end])
                    await asyncio.sleep(0)
                answers = [(await wire.answer())[0] for _ in kinds]
            allowed = [{202, 503} if submits else {200} for submits in kinds]
            assert all(answer in those for answer, those in zip(answers, allowed, strict=True))
            return answers

        answers = Counter(each for some in await asyncio.gather(*(converse() for _ in range(20))) for each in some)
        await wait_until_async(lambda: is_empty(server))

    assert answers[503] > 0
    assert await stored_jobs(store) == answers[202]


async def test_a_client_of_ours_comes_again_and_is_stored_once(server, store, client):
    async def again() -> httpx2.Response:
        while (answer := await client.post("/v1/jobs", content=ENVELOPE, headers=JSON)).status_code == 503:
            assert answer.headers["retry-after"] == "1"
            opened.set()
        return answer

    opened = asyncio.Event()
    with full(server):
        coming = asyncio.create_task(again())
        await asyncio.wait_for(opened.wait(), 20)

    assert (await coming).status_code == 202
    assert await stored_jobs(store) == 1


JSON = {"content-type": "application/json"}


async def is_empty(server: RunningServer) -> bool:
    """Tell whether the server works on no submission."""
    return server.server.app.parts.crowd.submissions == 0


async def is_waited_for(server: RunningServer) -> bool:
    """Tell whether somebody waits for a job."""
    return server.listeners == 1
