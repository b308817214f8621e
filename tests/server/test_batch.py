"""POST /v1/jobs/batch: one line per item, in order; one item's problem costs no other item anything."""

from __future__ import annotations

import json

import pytest

from emp_core.ids import JobId

from .conftest import stored_jobs

pytestmark = pytest.mark.anyio

GOOD = {"job_type": "any.thing", "payload": {"n": 1}}


def lines(answer):
    return [json.loads(line) for line in answer.content.splitlines()]


async def post(client, body, kind="application/json"):
    return await client.post("/v1/jobs/batch", content=body, headers={"content-type": kind})


async def test_each_item_of_an_array_is_answered_in_order(client, store, worker):
    items = [GOOD, {"job_type": "nope", "payload": 1}, {"job_type": "text.words", "payload": {}}, {}, GOOD]

    answer = await post(client, json.dumps(items))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    first, unknown, unfit, malformed, last = lines(answer)
    assert (first["job_type"], first["state"]) == ("any.thing", "pending")
    assert [item["type"].rpartition(":")[2] for item in (unknown, unfit, malformed)] == [
        "unknown-job-type",
        "invalid-payload",
        "invalid-request",
    ]
    assert unfit["errors"] == [{"pointer": "/text", "message": "is required"}]
    assert await store.views.payload(JobId(last["id"])) == b'{"n": 1}'
    assert await stored_jobs(store) == 2


@pytest.mark.parametrize("kind", ["application/jsonl", "application/x-ndjson"])
async def test_json_lines_are_a_batch_too(client, store, kind):
    body = b'{"job_type":"any.thing","payload":1}\n\n{"job_type":"any.thing",\n{"job_type":"any.thing","payload": 2 }'

    answer = await post(client, body, kind)

    first, broken, last = lines(answer)
    assert ("id" in first, broken["status"], "id" in last) == (True, 400, True)
    assert await stored_jobs(store) == 2


async def test_items_are_claimed_in_their_order(client, store, worker):
    ids = [item["id"] for item in lines(await post(client, json.dumps([GOOD] * 5)))]

    assert [str((await worker.claim("any.thing")).job_id) for _ in range(5)] == ids


async def test_an_item_with_a_key_is_stored_once(client, store):
    item = {**GOOD, "idempotency_key": "k"}

    answer = await post(client, json.dumps([item, item, {**item, "payload": 2}]))

    first, repeat, other = lines(answer)
    assert first["id"] == repeat["id"]
    assert (other["status"], other["type"]) == (422, "urn:emp:problem:idempotency-key-reused")
    assert await stored_jobs(store) == 1


async def test_an_item_for_a_type_that_nobody_serves_has_a_warning(client, store):
    assert lines(await post(client, json.dumps([GOOD])))[0]["warnings"] == ["no_worker"]


async def test_a_thousand_items_pass_and_one_more_does_not(client, store):
    passed = await post(client, json.dumps([GOOD] * 1000))
    refused = await post(client, json.dumps([GOOD] * 1001))

    assert len({item["id"] for item in lines(passed)}) == 1000
    assert (refused.status_code, refused.json()["limit"]) == (413, 1000)
    assert await stored_jobs(store) == 1000


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"[", "application/json", 400),
        (b"[NaN]", "application/json", 400),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", 400),
        (b"[]", "text/plain", 415),
        (b" " * (33 * 1024 * 1024), "application/json", 413),
        (b"[" + b"0," * (15 * 1024 * 1024) + b"0]", "application/json", 413),
        (b"0\n" * (15 * 1024 * 1024), "application/jsonl", 413),
    ],
    ids=["object", "cut off", "nan", "deep", "text", "large", "many", "many lines"],
)
async def test_what_is_no_batch_is_refused_as_a_whole(client, store, body, kind, status):
    answer = await post(client, body, kind)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await stored_jobs(store) == 0


async def test_an_empty_batch_is_answered_with_nothing(client, store):
    answer = await post(client, b"[]")

    assert (answer.status_code, answer.content) == (200, b"")
