"""What people do: counts first, then the act; and only from a page of this server."""

from __future__ import annotations

import pytest

from emp_core.jobs import JobState
from support.page_reading import Reader
from support.serving import submit

pytestmark = pytest.mark.anyio


async def state_of(store, job_id: str) -> JobState:
    """Read a job's state."""
    [job] = await store.views.get([job_id])
    assert job is not None
    return job.state


async def test_a_cancel_first_says_how_many_it_concerns_and_changes_nothing(client, worker, post):
    failed, runs, waits = [await submit(client) for _ in range(3)]
    await worker.fail(await worker.start("any.thing"))
    await worker.start("any.thing")

    answer = await post("/jobs/actions", {"action": "cancel", "id": [failed, runs, waits]})

    text = Reader(answer.text).text
    assert "Cancel 3 jobs?" in text
    assert "1 job that waits is cancelled at once" in text
    assert "1 job that runs is asked to stop" in text
    assert "1 job has ended and stays as it is" in text
    assert await state_of(worker.store, waits) is JobState.PENDING


async def test_a_confirmed_cancel_says_what_became_of_how_many(client, worker, post):
    runs, *waiting = [await submit(client) for _ in range(3)]
    await worker.start("any.thing")
    fields = {"action": "cancel", "id": [runs, *waiting], "confirmed": "yes", "why": "no longer needed"}

    answer = await post("/jobs/actions", fields)

    text = Reader(answer.text).text
    assert "2 jobs: cancelled" in text
    assert "1 job: asked to stop" in text
    assert await state_of(worker.store, waiting[0]) is JobState.CANCELLED
    assert "no longer needed" in (await client.get(f"/jobs/{waiting[0]}")).text


async def test_the_page_that_asks_sends_what_it_asked_for(client, worker, post):
    ids = [await submit(client) for _ in range(2)]
    asked = Reader((await post("/jobs/actions", {"action": "cancel", "id": ids, "back": "/jobs?state=pending"})).text)

    assert asked.fields["confirmed"] == "yes"
    assert asked.fields["action"] == "cancel"
    assert "/jobs?state=pending" in asked.links


async def test_one_job_is_acted_on_and_shown(client, worker, post):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"))

    answer = await post("/jobs/actions", {"action": "revive", "id": job_id, "confirmed": "yes"})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}")
    assert await state_of(worker.store, job_id) is JobState.PENDING


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "cancel"}, {"action": "delete", "id": "x"}, {"action": "cancel", "id": ["nope", "<b>"]},
        {"action": "cancel", "id": [f"{n:026d}" for n in range(201)]}, {},
    ],
    ids=["nothing-selected", "unknown-action", "no-ids", "too-many", "empty"],
)  # fmt: skip
async def test_an_act_that_cannot_be_is_refused_with_a_page(store, post, fields):
    answer = await post("/jobs/actions", fields)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("why", ["x" * 1001, "two\nlines", "\u202e"], ids=["long", "lines", "bidi"])
async def test_a_reason_that_cannot_be_is_refused(client, post, store, why):
    job_id = await submit(client)

    answer = await post("/jobs/actions", {"action": "cancel", "id": job_id, "confirmed": "yes", "why": why})

    assert answer.status_code == 400
    assert await state_of(store, job_id) is JobState.PENDING


@pytest.mark.parametrize(
    "path", ["/jobs/actions", "/types/any.thing/pause", "/types/any.thing/resume", "/types/any.thing/run"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=["says-nothing", "foreign", "null", "cross-site", "same-site"],
)
async def test_an_act_has_to_come_from_a_page_of_this_server(client, store, path, headers):
    job_id = await submit(client)

    answer = await client.post(path, data={"action": "cancel", "id": job_id, "confirmed": "yes"}, headers=headers)

    assert answer.status_code == 403
    assert await state_of(store, job_id) is JobState.PENDING
    assert await store.types.paused() == set()


async def test_a_browser_that_sends_no_origin_says_that_it_is_ours(client, store):
    job_id = await submit(client)
    fields = {"action": "cancel", "id": job_id, "confirmed": "yes"}

    answer = await client.post("/jobs/actions", data=fields, headers={"sec-fetch-site": "same-origin"})

    assert answer.status_code == 303
    assert await state_of(store, job_id) is JobState.CANCELLED


async def test_only_a_form_is_read(client, server, store):
    answer = await client.post("/jobs/actions", json={"action": "cancel"}, headers={"origin": server.url})

    assert answer.status_code == 415


@pytest.mark.parametrize("body", [b"id=%ff", b"id=\xff", b"&".join(b"a=1" for _ in range(6000))])
async def test_a_form_that_cannot_be_read_is_refused(client, server, store, body):
    headers = {"origin": server.url, "content-type": "application/x-www-form-urlencoded"}

    assert (await client.post("/jobs/actions", content=body, headers=headers)).status_code == 400


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/jobs", "/jobs\\..\\x", "javascript:alert(1)"])
async def test_the_way_back_never_leads_elsewhere(client, post, back):
    job_ids = [await submit(client), await submit(client)]

    page = Reader((await post("/jobs/actions", {"action": "cancel", "id": job_ids, "back": back})).text)

    assert page.links[-2] == "/jobs"
    assert not [link for link in page.links if "evil" in link or ":" in link]


async def test_a_type_is_paused_after_the_count_and_resumed(client, worker, post):
    await submit(client)
    asked = Reader((await post("/types/any.thing/pause")).text).text
    assert "1 job waiting" in asked
    assert await worker.store.types.paused() == set()

    await post("/types/any.thing/pause", {"confirmed": "yes"})
    assert await worker.store.types.paused() == {"any.thing"}
    assert "paused" in (await client.get("/types/any.thing")).text

    await post("/types/any.thing/resume")
    assert await worker.store.types.paused() == set()


async def test_a_worker_is_drained_after_the_count(client, worker, post):
    await submit(client)
    await worker.start("any.thing")
    path = f"/workers/{worker.worker_id}/drain"

    asked = Reader((await post(path)).text).text
    await post(path, {"confirmed": "yes"})

    assert "1 job held" in asked
    assert "nobody else serves any.thing, text.words" in asked
    assert "draining" in (await client.get(f"/workers/{worker.worker_id}")).text


async def test_a_worker_that_is_not_there_cannot_be_drained(store, post):
    assert (await post("/workers/nope/drain", {"confirmed": "yes"})).status_code == 404
