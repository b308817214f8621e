"""The list of jobs: tabs, filters in the address, pages, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from support.page_reading import Reader
from support.serving import submit

pytestmark = pytest.mark.anyio


def shown(page: Reader) -> list[str]:
    """Give the ids of the jobs on a page, in order."""
    links = [link.removeprefix("/jobs/") for link in page.links if link.startswith("/jobs/")]
    return list(dict.fromkeys(links))


async def read(client, path: str) -> Reader:
    """Read a page that must be there."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return Reader(answer.text)


async def test_each_state_has_a_tab_with_its_count(client, worker):
    for _ in range(4):
        await submit(client)
    await submit(client, delay=600)
    await worker.fail(await worker.start("any.thing"))
    await worker.start("any.thing")

    text = (await read(client, "/jobs")).text

    for tab in ("All 5", "Running 1", "Waiting 2", "Scheduled 1", "Failed 1", "Cancelled 0", "Completed 0"):
        assert tab in text


async def test_every_job_is_in_the_list_of_all_and_in_that_of_its_state(client, worker):
    ended, runs, waits = [await submit(client) for _ in range(3)]
    await worker.fail(await worker.start("any.thing"))
    await worker.start("any.thing")

    assert shown(await read(client, "/jobs")) == [runs, waits, ended]
    assert shown(await read(client, "/jobs?state=pending")) == [waits]
    assert shown(await read(client, "/jobs?state=running")) == [runs]
    assert shown(await read(client, "/jobs?state=failed&job_type=any.thing")) == [ended]
    assert shown(await read(client, "/jobs?state=failed&job_type=text.words")) == []
    assert shown(await read(client, f"/jobs?worker={worker.worker_id}")) == [runs]


async def test_a_state_that_no_index_has_by_type_is_sifted_and_says_so(client, worker):
    await submit(client)
    runs = await worker.start("any.thing")

    page = await read(client, "/jobs?state=running&job_type=any.thing")

    assert shown(page) == [runs.job_id]
    assert "among its next 200" in page.text
    assert shown(await read(client, "/jobs?state=running&job_type=text.words")) == []


async def test_a_tag_leads_to_its_jobs_whatever_it_is(client, store):
    tag = '<b>&"x"/ ?#%'
    job_id = await submit(client, tags=[tag])
    await submit(client)

    [link] = [link for link in (await read(client, "/jobs?state=pending")).links if "tag=" in link]

    assert shown(await read(client, link)) == [job_id]


async def test_pages_hold_every_job_once(client, store):
    ids = [new_job_id() for _ in range(120)]
    await store.jobs.submit([Submission(job_id, "any.thing", b"null") for job_id in ids])
    found, path = [], "/jobs?state=pending"

    while path:
        page = await read(client, path)
        found += shown(page)
        path = next((link for link in page.links if "cursor=" in link), "")

    assert found == ids


async def test_a_list_can_begin_before_a_time(client, worker):
    await submit(client)
    job = await worker.start("any.thing")
    await worker.fail(job)
    now = datetime.now(tz=UTC)
    hour_ago, soon = (f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}" for hours in (-1, 1))

    assert shown(await read(client, f"/jobs?state=failed&before={soon}")) == [job.job_id]
    assert shown(await read(client, f"/jobs?state=failed&before={hour_ago}")) == []


async def test_an_id_leads_to_its_job(client, store):
    job_id = await submit(client)

    answer = await client.get(f"/jobs?id=%20{job_id.upper()}%20")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")


@pytest.mark.parametrize(
    "query",
    [
        "id=nope", "id=../../v1", "state=nope", "job_type=%3Cb%3E", "job_type=../x", "worker=nope", "tag=%00",
        "tag=%E2%80%AE",
        "cursor=nope&state=pending", "before=yesterday&state=failed", "state=pending&before=2026-01-01T00:00",
    ],
)  # fmt: skip
async def test_a_filter_that_cannot_be_is_refused_with_a_page(client, store, query):
    answer = await client.get(f"/jobs?{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "The request is malformed" in answer.text


async def test_empty_fields_of_the_form_are_no_filter(client, store):
    job_id = await submit(client)

    assert shown(await read(client, "/jobs?job_type=&tag=&before=&worker=&state=")) == [job_id]
