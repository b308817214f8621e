"""The overview: is it working, what waits and why, what failed."""

from __future__ import annotations

import pytest

from emp_server.settings import ServerSettings
from support.page_reading import Reader
from support.serving import register, running, submit

pytestmark = pytest.mark.anyio


async def test_it_says_that_everything_works(client, worker):
    text = Reader((await client.get("/")).text).text

    assert "Everything works" in text
    assert "0 waiting" in text
    assert "1 worker, 0 of 2 slots taken" in text


async def test_a_type_with_waiting_jobs_and_no_worker_is_called_out_loud(client, store):
    await submit(client)
    alone = Reader((await client.get("/")).text).text

    await register(store)
    served = Reader((await client.get("/")).text).text

    assert "Some work stands still" in alone
    assert "any.thing : no worker" in alone.replace("any.thing: no worker", "any.thing : no worker")
    assert "jobs wait, no worker" in alone
    assert "jobs wait, no worker" not in served


async def test_what_failed_stands_there_with_its_reason(client, worker):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"), b'{"kind":"ValueError","message":"the disk is full"}')

    page = Reader((await client.get("/")).text)

    assert "the disk is full" in page.text
    assert f"/jobs/{job_id}" in page.links
    assert "1 failed in the last hour" in page.text


@pytest.mark.parametrize("span", ["hour", "day"])
async def test_the_chart_has_its_numbers_in_a_table(client, worker, span):
    for _ in range(3):
        await submit(client)
        await worker.complete(await worker.start("any.thing"))

    page = Reader((await client.get(f"/?span={span}")).text)

    assert "3 completed" in page.text
    assert "rect" in page.tags
    assert page.text.count("No job ended") == 0


async def test_it_says_what_the_store_keeps(client, store):
    text = Reader((await client.get("/")).text).text

    assert "Store: available, an accepted job survives" in text


async def test_without_anything_to_show_it_says_what_to_do(client, settings):
    empty = ServerSettings(redis_url=settings.redis_url, namespace=f"{settings.namespace}-2")
    with running(empty) as server:
        text = Reader((await client.get(server.url)).text).text

    assert "No worker is online" in text
    assert "emp worker" in text


async def test_a_store_that_is_away_has_a_page_of_its_own(client, store):
    with running(ServerSettings(redis_url="redis://127.0.0.1:1/0")) as server:
        answer = await client.get(server.url)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "its store is not" in Reader(answer.text).text
