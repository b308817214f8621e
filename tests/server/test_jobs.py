"""Looking at jobs and acting on them: one job, its parts, lists, cancel and revive."""

from __future__ import annotations

import itertools
import json

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import JobState

from .conftest import submit

pytestmark = pytest.mark.anyio

FIELDS = {
    "id", "job_type", "state", "priority", "attempt", "max_attempts", "progress", "reason", "error", "result",
    "created_at", "scheduled_at", "claimed_at", "started_at", "finished_at", "expires_at", "worker_id", "position",
    "tags", "attempts", "cancel_request", "urls",
}  # fmt: skip


def problem(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["type"].rpartition(":")[2]


async def test_a_job_is_shown_with_all_its_members(client, worker):
    job = (await client.get(f"/v1/jobs/{await submit(client, tags=['a'], expires_in=60)}")).json()

    assert set(job) == FIELDS
    assert job["progress"] == {"fraction": 0.0, "message": ""}
    assert job["tags"] == ["a"]
    assert job["expires_at"].endswith("Z")
    assert set(job["urls"]) == {"self", "result", "events", "log", "cancel"}


async def test_every_url_of_a_job_leads_somewhere(client, worker):
    urls = (await client.get(f"/v1/jobs/{await submit(client)}")).json()["urls"]
    await worker.complete(await worker.start("any.thing"))

    statuses = {name: (await client.get(url)).status_code for name, url in urls.items() if name != "cancel"}

    assert set(statuses.values()) == {200}
    assert (await client.post(urls["cancel"])).status_code == 409


async def test_a_waiting_job_shows_its_position(client):
    ids = [await submit(client) for _ in range(3)]

    assert [(await client.get(f"/v1/jobs/{job_id}")).json()["position"] for job_id in ids] == [0, 1, 2]


async def test_a_running_job_shows_its_worker_and_progress(client, worker):
    job_id = await submit(client)
    await worker.report(await worker.start("any.thing"), 0.25, "a quarter")

    job = (await client.get(f"/v1/jobs/{job_id}")).json()

    assert (job["state"], job["worker_id"], job["position"]) == ("in_progress", worker.worker_id, None)
    assert job["progress"] == {"fraction": 0.25, "message": "a quarter"}


async def test_a_failed_job_shows_why_and_its_attempts(client, worker):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"), b'{"message":"no","kind":"ValueError"}')

    job = (await client.get(f"/v1/jobs/{job_id}")).json()

    assert (job["state"], job["reason"], job["result"]) == ("failed", "error", None)
    assert job["error"] == {"message": "no", "kind": "ValueError"}
    [attempt] = job["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["error"]["message"]) == (1, "failed", "no")


async def test_a_result_is_spliced_into_the_job_byte_for_byte(client, worker):
    result = b'{"big": 123456789012345678901234567890,  "f": 1.0e0, "a":[], "o":{ }}'
    job_id = await submit(client)
    await worker.complete(await worker.start("any.thing"), result)

    assert b'"result":' + result + b"," in (await client.get(f"/v1/jobs/{job_id}")).content


async def test_an_unknown_id_is_not_found(client):
    job_ids = ("01m85563vqzsd3j29k878vnw00", "no-id", "..%2f..%2fetc", "%00", "0" * 5000)
    for job_id, path in itertools.product(job_ids, ("", "/payload", "/result", "/log", "/events")):
        answer = await client.get(f"/v1/jobs/{job_id}{path}")

        assert answer.status_code == 404, (job_id, path)
        assert problem(answer) in {"job-not-found", "not-found"}, (job_id, path)


@pytest.mark.parametrize("verb", ["cancel", "revive"])
async def test_an_unknown_job_cannot_be_acted_on(client, verb):
    answer = await client.post(f"/v1/jobs/{new_job_id()}/{verb}")

    assert (answer.status_code, problem(answer)) == (404, "job-not-found")


async def test_a_job_that_has_not_changed_is_not_sent_again(client, worker):
    job_id = await submit(client)
    first = await client.get(f"/v1/jobs/{job_id}")
    etag = first.headers["etag"]

    same = await client.get(f"/v1/jobs/{job_id}", headers={"if-none-match": f'"other", W/{etag}'})
    await worker.start("any.thing")
    changed = await client.get(f"/v1/jobs/{job_id}", headers={"if-none-match": etag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert changed.status_code == 200


async def test_a_job_that_moved_up_in_the_line_has_changed(client, worker):
    first, second = await submit(client), await submit(client)
    before = (await client.get(f"/v1/jobs/{second}")).headers["etag"]

    await client.post(f"/v1/jobs/{first}/cancel")

    assert (await client.get(f"/v1/jobs/{second}", headers={"if-none-match": before})).json()["position"] == 0


async def test_the_result_of_an_unfinished_job_is_the_job(client):
    job_id = await submit(client)

    answer = await client.get(f"/v1/jobs/{job_id}/result")

    assert (answer.status_code, answer.json()["id"]) == (202, job_id)


async def test_a_failed_job_has_no_result(client, worker):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"))

    answer = await client.get(f"/v1/jobs/{job_id}/result")

    assert (answer.status_code, problem(answer), answer.json()["state"]) == (409, "state-conflict", "failed")


async def test_the_log_comes_in_lines_from_where_one_wants(client, worker):
    job_id = await submit(client)
    lines = [json.dumps({"message": f"line {n}"}).encode() for n in range(3)]
    await worker.report(await worker.start("any.thing"), 0.1, "", *lines)

    whole = await client.get(f"/v1/jobs/{job_id}/log")
    rest = await client.get(f"/v1/jobs/{job_id}/log?start=2")

    assert whole.headers["content-type"] == "application/jsonl"
    assert [json.loads(line)["message"] for line in whole.content.splitlines()] == ["line 0", "line 1", "line 2"]
    assert [json.loads(line)["message"] for line in rest.content.splitlines()] == ["line 2"]


async def test_pending_jobs_are_listed_in_the_order_of_their_claim(client):
    low, high, also_low = [await submit(client, priority=priority) for priority in (0, 5, 0)]

    page = (await client.get("/v1/jobs?state=pending&job_type=any.thing")).json()

    assert [job["id"] for job in page["jobs"]] == [high, low, also_low]
    assert "result" not in page["jobs"][0]


async def test_final_jobs_are_listed_newest_first(client, worker):
    ids = [await submit(client) for _ in range(3)]
    for _ in ids:
        await worker.complete(await worker.start("any.thing"))

    page = (await client.get("/v1/jobs?state=completed")).json()

    assert {job["id"] for job in page["jobs"]} == set(ids)


async def test_jobs_are_found_by_their_tag_and_by_their_worker(client, worker):
    tagged = await submit(client, tags=["żółć & co"])
    await worker.start("any.thing")

    by_tag = await client.get("/v1/jobs", params={"tag": "żółć & co"})
    by_worker = await client.get("/v1/jobs", params={"worker": worker.worker_id})

    assert [job["id"] for answer in (by_tag, by_worker) for job in answer.json()["jobs"]] == [tagged, tagged]


async def test_a_list_is_followed_page_by_page_through_its_links(client):
    ids = [await submit(client, tags=["t&t"]) for _ in range(5)]
    found: list[str] = []
    url = "/v1/jobs?tag=t%26t&limit=2"

    while url:
        answer = await client.get(url)
        found += [job["id"] for job in answer.json()["jobs"]]
        assert len(answer.json()["jobs"]) <= 2
        url = answer.links.get("next", {}).get("url", "")

    assert sorted(found) == sorted(ids)


UNSERVED = [
    "state=pending&tag=a",
    "tag=a&worker=" + "01m85563vqzsd3j29k878vnw00",
    "job_type=any.thing",
    "state=nonsense",
    "cursor=nonsense",
    "cursor=pending:nonsense",
    "state=pending&cursor=nonsense",
    "state=pending&limit=0",
    "state=pending&limit=201",
    "state=pending&limit=many",
    "state=pending&job_type=UPPER",
    "worker=me",
    "tag=",
    "tag=%0a",
    "colour=red",
    "state=pending&state=failed&state=x",
]


async def test_a_list_that_no_index_serves_is_refused(client):
    for query in UNSERVED:
        answer = await client.get(f"/v1/jobs?{query}")

        assert (answer.status_code, problem(answer)) == (400, "invalid-request"), query


async def test_a_refused_list_names_the_combinations_there_are(client):
    assert "state and job_type" in (await client.get("/v1/jobs?job_type=any.thing")).json()["detail"]


async def test_an_unknown_state_is_told_with_the_states_that_there_are(client):
    detail = (await client.get("/v1/jobs?state=bogus")).json()["detail"]

    assert detail.startswith("'bogus' is not a state; there are running, ")
    assert all(state in detail for state in JobState)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_a_list_without_a_filter_has_every_job_what_runs_first_what_has_ended_last(client, worker, limit):
    completed, running, pending = [await submit(client) for _ in range(3)]
    await worker.complete(await worker.start("any.thing"))
    await worker.start("any.thing")
    scheduled, cancelled = [await submit(client, delay=3600) for _ in range(2)]
    await client.post(f"/v1/jobs/{cancelled}/cancel")
    found: list[str] = []
    url = f"/v1/jobs?limit={limit}"

    while url:
        answer = await client.get(url)
        found += [job["id"] for job in answer.json()["jobs"]]
        url = answer.links.get("next", {}).get("url", "")

    assert found == [running, pending, scheduled, cancelled, completed]


async def test_a_waiting_job_is_cancelled_at_once(client):
    job_id = await submit(client)

    answer = await client.post(f"/v1/jobs/{job_id}/cancel", json={"why": "a mistake"})

    job = answer.json()
    assert (answer.status_code, job["state"]) == (200, "cancelled")
    assert (job["cancel_request"]["why"], job["cancel_request"]["by"]) == ("a mistake", "http")


async def test_the_holder_of_a_running_job_is_asked_to_stop(client, worker):
    job_id = await submit(client)
    await worker.start("any.thing")

    answer = await client.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (202, "in_progress")
    assert answer.json()["cancel_request"] is not None


async def test_cancelling_twice_does_what_once_does(client):
    job_id = await submit(client)

    answers = [await client.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_a_completed_job_cannot_be_cancelled(client, worker):
    job_id = await submit(client)
    await worker.complete(await worker.start("any.thing"))

    answer = await client.post(f"/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (409, "completed")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"why":1}', "application/json", 400),
        (b'{"because":"x"}', "application/json", 400),
        (b'{"why":"a\\nb"}', "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"why":"x"}', "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
    ],
)
async def test_a_malformed_wish_to_cancel_is_refused_and_cancels_nothing(client, body, kind, status):
    job_id = await submit(client)

    answer = await client.post(f"/v1/jobs/{job_id}/cancel", content=body, headers={"content-type": kind})

    assert answer.status_code == status
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "pending"


async def test_a_failed_job_is_revived(client, worker):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"))

    answer = await client.post(f"/v1/jobs/{job_id}/revive")

    assert (answer.status_code, answer.json()["state"], answer.json()["attempt"]) == (200, "pending", 0)
    assert len(answer.json()["attempts"]) == 1


async def test_only_a_failed_or_cancelled_job_can_be_revived(client):
    job_id = await submit(client)

    answer = await client.post(f"/v1/jobs/{job_id}/revive")

    assert (answer.status_code, answer.json()["state"]) == (409, "pending")


async def test_a_payload_is_given_back_byte_for_byte(client, store):
    payload = '{"a" : 1.0e0,"a":2, "ü":"\\u0000 😀"}'.encode()
    body = b'{ "payload" :' + payload + b', "job_type":"any.thing"}'
    job = (await client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})).json()

    answer = await client.get(f"/v1/jobs/{JobId(job['id'])}/payload")

    assert (answer.content, answer.headers["content-type"]) == (payload, "application/json")
