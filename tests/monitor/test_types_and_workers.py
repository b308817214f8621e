"""The pages of job types and workers."""

from __future__ import annotations

import pytest

from emp_core.ids import new_worker_id
from emp_core.jobs import Trouble, TroubleWord
from support.page_reading import Reader
from support.serving import register, submit

pytestmark = pytest.mark.anyio

BROKEN = {
    "distribution": "emp-plugin-x", "version": "1", "entry_point": "x", "state": "failed", "job_types": [],
    "phase": "import", "why": "ImportError: no libfoo", "traceback": "line 7 of <module>",
}  # fmt: skip


async def read(client, path: str) -> Reader:
    """Read a page that must be there."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return Reader(answer.text)


async def test_a_type_is_told_in_words(client, worker):
    text = (await read(client, "/types/text.words")).text

    for words in ("Count words", "Counts the words of a text.", "emp-plugin-words 1.0", "text required", "at least 1"):
        assert words in text


async def test_types_are_listed_with_how_they_fare(client, worker):
    for _ in range(4):
        await submit(client)
        await worker.complete(await worker.start("any.thing"))
    await submit(client)
    await worker.fail(await worker.start("any.thing"))

    text = (await read(client, "/types")).text

    assert "any.thing" in text
    assert "20 %" in text


async def test_workers_that_serve_other_versions_are_called_out(client, worker, store):
    await register(store, types={"any.thing": "another"})

    assert "versions differ" in (await read(client, "/types/any.thing")).text


async def test_a_worker_says_what_it_runs(client, worker):
    job_id = await submit(client)
    await worker.start("any.thing")

    for path in ("/workers", f"/workers/{worker.worker_id}"):
        page = await read(client, path)
        assert f"/jobs/{job_id}" in page.links
        assert "busy" in page.text


async def test_a_worker_says_what_is_wrong_with_it(client, store):
    hand = await register(store, plugins=[BROKEN])
    job_id = await submit(client)
    trouble = Trouble(job_id, "any.thing", TroubleWord.BLOCKS_LOOP, 12.5)
    await store.workers.renew(hand.worker_id, 3.5, [trouble])

    overview, page = await read(client, "/workers"), await read(client, f"/workers/{hand.worker_id}")

    assert "event loop 3.5 s late" in overview.text
    assert "1 plugin failed" in overview.text
    assert f"/jobs/{job_id}" in overview.links
    for words in ("ImportError: no libfoo", "line 7 of <module>", "blocks loop"):
        assert words in page.text


async def test_a_worker_that_has_gone_is_remembered_with_the_reason(client, store):
    hand = await register(store, name="gone-1")
    await store.workers.leave(hand.worker_id, "told to stop")

    for path in ("/workers", f"/workers/{hand.worker_id}"):
        assert "told to stop" in (await read(client, path)).text


@pytest.mark.parametrize(
    "path", ["/types/nope", "/types/%3Cb%3E", "/types/nope/run", "/workers/nope", f"/workers/{'0' * 26}"]
)
async def test_what_is_not_there_has_a_page(client, store, path):
    answer = await client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_a_worker_id_that_nobody_has_is_not_found(client, store):
    assert (await client.get(f"/workers/{new_worker_id()}")).status_code == 404
