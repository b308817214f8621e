"""GET with wait: the answer comes when the job ends, and nobody keeps a place that he has left."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from emp_core.ids import new_job_id
from support.plain_http import asking
from support.serving import register
from support.waiting import wait_until, wait_until_async

from .conftest import running, submit

pytestmark = pytest.mark.anyio


async def waiting_for(client, server, job_id, how="?wait=20", **headers):
    """Begin to wait, and give the request that does."""
    request = asyncio.create_task(client.get(f"/v1/jobs/{job_id}{how}", headers=headers))
    await wait_until_async(lambda: _are(server, 1))
    return request


async def _are(server, listeners):
    return server.listeners == listeners


@pytest.mark.parametrize(("how", "headers"), [("?wait=20", {}), ("", {"prefer": "wait=20"})])
async def test_a_wait_is_answered_as_soon_as_the_job_ends(client, server, worker, how, headers):
    job_id = await submit(client)
    request = await waiting_for(client, server, job_id, how, **headers)
    job = await worker.start("any.thing")
    started = time.monotonic()

    await worker.complete(job, b"7")

    answer = await request
    assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (200, "completed", 7)
    assert time.monotonic() - started < 1
    assert answer.headers.get("preference-applied") == headers.get("prefer")


async def test_a_job_that_has_ended_is_not_waited_for(client, server, worker):
    job_id = await submit(client)
    await worker.complete(await worker.start("any.thing"))
    started = time.monotonic()

    await client.get(f"/v1/jobs/{job_id}?wait=20")

    assert time.monotonic() - started < 2


async def test_a_wait_that_is_over_shows_the_job_as_it_is(client):
    answer = await client.get(f"/v1/jobs/{await submit(client)}?wait=0.05")

    assert (answer.status_code, answer.json()["state"]) == (200, "pending")


async def test_nobody_waits_for_a_job_that_does_not_exist(client):
    assert (await client.get(f"/v1/jobs/{new_job_id()}?wait=20")).status_code == 404


@pytest.mark.parametrize("wait", ["soon", "-1", "nan", "inf", ""])
async def test_a_wait_that_is_no_number_is_refused(client, wait):
    assert (await client.get(f"/v1/jobs/{new_job_id()}?wait={wait}")).status_code == 400


async def test_progress_does_not_end_a_wait(client, server, worker):
    job_id = await submit(client)
    request = await waiting_for(client, server, job_id)
    job = await worker.start("any.thing")
    await worker.report(job, 0.5, "half")
    assert not request.done()

    await worker.complete(job)

    assert (await request).json()["state"] == "completed"


async def test_a_thousand_wait_at_once_and_all_are_answered(client, server, store):
    """Bare sockets: a thousand connections of a whole client take longer than the wait."""
    job_id = await submit(client)

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET /v1/jobs/{job_id}?wait=50 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2]

    requests = [asyncio.create_task(ask()) for _ in range(1000)]
    await wait_until_async(lambda: _are(server, 1000), timeout=30)

    worker = await register(store)  # only now: its lease, which nobody renews, would be over on a busy machine
    await worker.complete(await worker.start("any.thing"), b"1")

    assert {json.loads(await request)["result"] for request in requests} == {1}
    assert server.listeners == 0


async def test_a_client_that_leaves_frees_its_place_at_once(client, server):
    job_id = await submit(client)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET /v1/jobs/{job_id}?wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await wait_until_async(lambda: _are(server, 1))

    writer.close()
    await writer.wait_closed()

    await wait_until_async(lambda: _are(server, 0), timeout=2)


async def test_a_server_that_stops_answers_who_waits_with_the_job_as_it_is(settings, store):
    with running(settings) as server:
        async with asking(server.url) as client:
            job_id = await submit(client)
            request = await waiting_for(client, server, job_id, "?wait=60")
            started = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))

            answer = await request

            await stopping
            assert answer.json()["state"] == "pending"
            assert time.monotonic() - started < 3
    wait_until(lambda: server.listeners == 0)
