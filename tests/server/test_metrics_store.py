"""`/metrics` on a store of its own: one that ends, freezes, comes back empty, or holds much."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from emp_core.api_keys import Scope, new_key
from emp_core.store import open_store
from emp_server.settings import ServerSettings
from support.exposition import scrape
from support.plain_http import asking
from support.serving import ANYTHING, running, submit
from support.stores import StartedStore, started_store
from support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.process]

TYPE = ANYTHING.job_type


@pytest.fixture
def own(tmp_path):
    with started_store(tmp_path / "store") as own:
        yield own


@asynccontextmanager
async def served(settings: ServerSettings, own: StartedStore, **changes: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Run a server on this store, and give a client of it that waits as long as Prometheus does."""
    with running(settings.model_copy(update={"redis_url": own.url, **changes})) as server:
        async with asking(server.url, timeout=10) as client:
            yield client


async def test_without_a_store_it_says_so_and_tells_of_the_server(settings, own):
    async with served(settings, own) as client:
        assert (await scrape(client)).value("emp_store_up") == 1
        own.kill()

        said = await scrape(client)

    assert said.value("emp_store_up") == 0
    assert "emp_jobs" not in said.families
    assert said.value("emp_http_requests_total", route="/metrics", method="GET", status="2xx") == 1


async def test_of_a_frozen_store_it_is_said_before_a_scrape_gives_up(settings, own):
    async with served(settings, own) as client:
        await scrape(client)
        with own.frozen():
            said = await scrape(client)

    assert said.value("emp_store_up") == 0


async def test_keys_are_asked_for_also_while_the_store_is_away(settings, own):
    """Whoever was known before the outage is known in it, and nobody else; it is for the metrics alone."""
    reader, shown = new_key("prometheus", [Scope.READ])
    submitter, other = new_key("program", [Scope.SUBMIT])
    async with open_store(own.url, settings.namespace) as store:
        await store.api_keys.add(reader)
        await store.api_keys.add(submitter)
    statuses = []

    async with served(settings, own, require_key=True, keys_fresh_for=timedelta(milliseconds=1)) as client:
        for _ in range(2):
            for text in (shown, other, "emp_wrong", None):
                headers = {} if text is None else {"authorization": f"Bearer {text}"}
                statuses.append((await client.get("/metrics", headers=headers)).status_code)
            own.kill()
        elsewhere = await client.get("/v1/jobs", headers={"authorization": f"Bearer {shown}"})

    assert statuses == [200, 403, 401, 401] * 2
    assert elsewhere.status_code == 503


async def test_a_server_that_has_never_seen_its_store_lets_nobody_in(settings, own):
    own.kill()

    async with served(settings, own, require_key=True) as client:
        assert (await client.get("/metrics")).status_code == 503


async def test_a_server_that_asks_nobody_tells_of_a_store_that_it_has_never_seen(settings, own):
    own.kill()

    async with served(settings, own, insecure=True) as client:
        assert (await scrape(client)).value("emp_store_up") == 0


async def test_a_store_that_came_back_empty_has_another_birth(settings, own):
    async def births():
        return list((await scrape(client)).samples("emp_store_born_timestamp_seconds").values())

    async def was_born_later():
        return [at for at in await births() if at > first]

    async with served(settings, own) as client:
        [first] = await wait_until_async(births)
        own.client.flushall()

        assert await wait_until_async(was_born_later)

    assert abs(first - time.time()) < 60


async def test_a_scrape_costs_the_store_the_same_however_many_jobs_wait(settings, own):
    async with open_store(own.url, settings.namespace) as store, served(settings, own) as client:
        await store.types.announce([ANYTHING])
        await submit(client)
        few = await _calls_of_a_scrape(own, client)
        lines = [{"job_type": TYPE, "payload": n} for n in range(1000)]
        for _ in range(3):
            assert (await client.post("/v1/jobs/batch", json=lines)).status_code == 200

        many = await _calls_of_a_scrape(own, client)

    assert few == many
    assert few["zrangebyscore"] == 3  # the head of the line, that there is no other priority, and the workers


async def _calls_of_a_scrape(own, client):
    """Count the commands that nothing else sends: the janitor finds nothing to do."""
    own.client.config_resetstat()
    await scrape(client)
    calls = own.client.info("commandstats")
    return {name: calls[f"cmdstat_{name}"]["calls"] for name in ("zcard", "zrangebyscore")}
