"""While the store is away the server lives, says so, and loses nothing; it is back when the store is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
import redis
from redis.asyncio import Redis

from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore
from emp_server.settings import ServerSettings
from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import ANYTHING, RunningServer, register, running, submit

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.fixture
def own_store(tmp_path):
    with EmbeddedStore(tmp_path / "data", port=0) as store:
        yield store


@pytest.fixture
async def served(own_store: EmbeddedStore) -> AsyncIterator[tuple[RunningServer, httpx2.AsyncClient]]:
    settings = ServerSettings(redis_url=own_store.url, namespace="mine")
    async with open_store(own_store.url, "mine") as store:
        await store.types.announce([ANYTHING])
    with running(settings) as server:
        async with asking(server.url) as client:
            yield server, client


async def test_a_server_with_its_store_lives_and_is_ready(client):
    assert (await client.get("/livez")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


REQUESTS = [
    ("GET", "/readyz", None),
    ("POST", "/v1/jobs", {"job_type": "any.thing", "payload": 1}),
    ("POST", "/v1/jobs/batch", [{"job_type": "any.thing", "payload": 1}]),
    ("POST", "/v1/job-types/any.thing/jobs", 1),
    ("GET", "/v1/jobs?state=pending", None),
    ("GET", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00", None),
    ("GET", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00?wait=5", None),
    ("GET", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00/payload", None),
    ("GET", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00/events", None),
    ("POST", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00/cancel", {}),
    ("POST", "/v1/jobs/01m8546fn3mh095yyvx0xhaf00/revive", None),
    ("GET", "/v1/workers", None),
    ("GET", "/v1/stats", None),
]


async def test_every_request_that_needs_the_store_is_answered_with_503_while_it_is_away(own_store, served):
    server, client = served
    own_store.kill()

    answers = [await client.request(method, path, json=body) for method, path, body in REQUESTS]

    assert [answer.status_code for answer in answers] == [503] * len(REQUESTS)
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert {answer.json()["type"] for answer in answers} == {"urn:emp:problem:store-unavailable"}
    assert (await client.get("/livez")).status_code == 200
    assert "not available" in (await client.get("/")).text
    assert server.url


async def test_the_server_is_back_when_the_store_is_and_nothing_accepted_is_lost(own_store, served):
    _, client = served
    job_id = await submit(client)

    own_store.kill()
    assert (await client.get("/readyz")).status_code == 503
    own_store.start()

    await wait_until_async(lambda: _ready(client))
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "pending"


async def test_a_stream_outlives_an_outage_of_the_store(own_store, served):
    _, client = served
    job_id = await submit(client)

    async with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        lines = answer.aiter_lines()
        while not (await anext(lines)).startswith("data"):
            pass
        own_store.kill()
        own_store.start()
        await wait_until_async(lambda: _ready(client))
        await client.post(f"/v1/jobs/{job_id}/cancel")

        async with asyncio.timeout(20):
            rest = [line async for line in lines]

    assert any('"state":"cancelled"' in line for line in rest)


async def test_a_submission_that_was_stored_is_answered_as_such_though_the_store_goes_away_during_the_wait(
    own_store, served
):
    server, client = served
    body = {"job_type": "any.thing", "payload": 1, "priority": 3}
    submitting = asyncio.create_task(client.post("/v1/jobs?wait=20", json=body))
    await wait_until_async(lambda: _is(server.listeners == 1))

    own_store.kill()

    answer = await submitting
    assert (answer.status_code, answer.json()["state"], answer.json()["priority"]) == (202, "pending", 3)
    own_store.start()
    await wait_until_async(lambda: _ready(client))
    assert (await client.get(answer.headers["location"])).json()["id"] == answer.json()["id"]


async def _is(fact):
    return fact


async def test_a_server_starts_while_its_store_is_away(tmp_path):
    own = EmbeddedStore(tmp_path / "data", port=0)
    with own:
        url = own.url
    with running(ServerSettings(redis_url=url, namespace="mine")) as server:
        async with asking(server.url) as client:
            assert (await client.get("/readyz")).status_code == 503


async def _ready(client):
    return (await client.get("/readyz")).status_code == 200


async def test_a_full_store_is_said_to_be_full_and_running_jobs_still_finish(own_store, served):
    _, client = served
    job_id = await submit(client)
    async with open_store(own_store.url, "mine") as store, Redis.from_url(own_store.url) as admin:
        worker = await register(store)
        job = await worker.start("any.thing")
        await admin.config_set("maxmemory", 1)

        full = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})
        await worker.complete(job)

    assert (full.status_code, full.headers["retry-after"]) == (507, "10")
    assert full.json()["type"] == "urn:emp:problem:store-full"
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "completed"


async def test_a_store_that_begins_to_evict_gets_no_more_jobs(own_store, served):
    """As long as it may discard them: the server is not ready, says why, and comes back by itself."""
    _, client = served
    body = {"job_type": "any.thing", "payload": 1}

    async def is_refused():
        return (await client.post("/v1/jobs", json=body)).status_code == 503

    async def is_accepted():
        return (await client.post("/v1/jobs", json=body)).status_code == 202

    with redis.Redis.from_url(own_store.url) as operator:
        operator.config_set("maxmemory-policy", "allkeys-lru")
        await wait_until_async(is_refused)
        ready = await client.get("/readyz")
        metrics = (await client.get("/metrics")).text
        overview = (await client.get("/")).text

        operator.config_set("maxmemory-policy", "noeviction")
        await wait_until_async(is_accepted)

    assert ready.status_code == 503
    assert "CONFIG SET maxmemory-policy noeviction" in ready.json()["detail"]
    assert "emp_store_evicts 1.0" in metrics
    assert "The store may discard jobs" in overview
    assert (await client.get("/readyz")).status_code == 200
