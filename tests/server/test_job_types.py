"""Job types: listed, shown, tried, paused."""

from __future__ import annotations

import pytest

from emp_core.jobs import Announcement
from emp_core.store import ClaimWord

from .conftest import SCHEMA, register, stored_jobs, submit

pytestmark = pytest.mark.anyio


async def test_the_list_names_each_type_its_package_and_who_serves_it(client, worker):
    types = {known["job_type"]: known for known in (await client.get("/v1/job-types")).json()["job_types"]}

    assert set(types) == {"any.thing", "text.words"}
    words = types["text.words"]
    assert (words["distribution"], words["version"], words["workers_online"], words["paused"]) == (
        "emp-plugin-words",
        "1.0",
        1,
        False,
    )
    assert "payload_schema" not in words


async def test_one_type_is_shown_with_its_schemas_and_examples(client):
    words = (await client.get("/v1/job-types/text.words")).json()

    assert words["payload_schema"] == SCHEMA
    assert words["result_schema"]["properties"] == {"words": {"type": "integer"}}
    assert words["examples"] == [{"text": "one two"}]
    assert words["options"]["max_attempts"] == 5


async def test_all_versions_of_a_type_are_named_newest_first(client, store):
    await store.types.announce([Announcement("v.v", f"d{v}", "p", v) for v in ("1.9", "1.10", "1.10rc1", "junk")])

    assert (await client.get("/v1/job-types/v.v")).json()["versions"] == ["1.10", "1.10rc1", "1.9", "junk"]


async def test_the_schema_is_given_alone(client):
    answer = await client.get("/v1/job-types/text.words/schema")

    assert (answer.json(), answer.headers["content-type"]) == (SCHEMA, "application/schema+json")
    assert (await client.get("/v1/job-types/any.thing/schema")).json() == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/schema"),
        ("POST", "/validate"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/jobs"),
    ],
)
async def test_an_unknown_type_is_not_found(client, method, path):
    answer = await client.request(method, f"/v1/job-types/text.word{path}", json={})

    assert (answer.status_code, answer.json()["near"]) == (404, ["text.words"])


async def test_a_payload_that_fits_is_valid_and_nothing_is_stored(client, store):
    answer = await client.post("/v1/job-types/text.words/validate", json={"text": "x"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 422),
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"text":"' + b"x" * 1000 + b'"}', "application/json", 413),
        (b" " * (17 * 1024 * 1024), "application/json", 413),
    ],
    ids=["unfit", "malformed", "text", "over the type's limit", "over the server's limit"],
)
async def test_a_payload_is_validated_as_it_would_be_submitted(client, body, kind, status):
    answer = await client.post("/v1/job-types/text.words/validate", content=body, headers={"content-type": kind})

    assert answer.status_code == status


async def test_jobs_of_a_paused_type_are_not_claimed_until_it_is_resumed(client, store, worker):
    await submit(client)

    paused = await client.post("/v1/job-types/any.thing/pause")
    claim = await store.jobs.claim(worker.worker_id, 1, {"any.thing": 1}, 1)
    resumed = await client.post("/v1/job-types/any.thing/resume")

    assert (paused.status_code, paused.json()["paused"]) == (200, True)
    assert (claim.word, claim.jobs) == (ClaimWord.OK, ())
    assert (resumed.status_code, resumed.json()["paused"]) == (200, False)
    worker.claims = 1
    assert await worker.claim("any.thing")


async def test_pausing_twice_does_what_once_does(client):
    answers = [await client.post("/v1/job-types/any.thing/pause") for _ in range(2)]

    assert [answer.json()["paused"] for answer in answers] == [True, True]


async def test_a_worker_of_another_type_does_not_count(client, store):
    await register(store, types={"any.thing": "d-any"})

    assert (await client.get("/v1/job-types/text.words")).json()["workers_online"] == 0
