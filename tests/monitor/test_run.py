"""Run a job type by hand: the form, what is refused beside its field, the job that comes of it."""

from __future__ import annotations

import json
import re

import pytest

from emp_core.jobs import Announcement
from support.page_reading import Reader
from support.serving import stored_jobs, submit

pytestmark = pytest.mark.anyio


async def payload_of(client, answer) -> object:
    """Give the payload of the job that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return (await client.get(f"/v1{answer.headers['location']}/payload")).json()


async def test_the_form_has_the_fields_of_the_schema(client, store):
    page = Reader((await client.get("/types/text.words/run")).text)

    assert {"payload/text", "payload/size", "once", "priority", "delay", "max_attempts", "tags"} <= set(page.fields)


async def test_what_is_filled_in_becomes_a_job(client, store, post):
    once = Reader((await client.get("/types/text.words/run")).text).fields["once"]
    fields = {
        "payload/text": "one two",
        "payload/size": "3",
        "once": once,
        "priority": "7",
        "tags": " a, b ,,",
        "delay": "PT1M",
    }

    answer = await post("/types/text.words/run", fields)

    assert await payload_of(client, answer) == {"text": "one two", "size": 3}
    job = (await client.get(f"/v1{answer.headers['location']}")).json()
    assert (job["priority"], job["tags"], job["state"]) == (7, ["a", "b"], "scheduled")


async def test_what_the_schema_refuses_is_said_beside_its_field_and_nothing_is_lost(client, store, post):
    answer = await post("/types/text.words/run", {"payload/text": "kept <b>", "payload/size": "0"})

    assert answer.status_code == 422
    page = Reader(answer.text)
    assert page.fields["payload/text"] == "kept <b>"
    assert page.fields["payload/size"] == "0"
    described = re.search(r'id="payload/size"[^>]*aria-describedby="([^"]*)"[^>]*aria-invalid="true"', answer.text)
    assert described is not None
    assert "payload/size-fault1" in described[1]
    assert await stored_jobs(store) == 0


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("priority", "5000", "priority"),
        ("delay", "soon", "delay"),
        ("max_attempts", "x", "max_attempts"),
        ("tags", "\0", "tag"),
    ],
    ids=["priority", "delay", "attempts", "tags"],
)
async def test_an_option_that_cannot_be_is_refused_in_the_form(client, store, post, field, text, words):
    answer = await post("/types/text.words/run", {"payload/text": "x", field: text})

    assert answer.status_code == 400
    page = Reader(answer.text)
    assert "Not submitted." in page.text
    assert words in page.text
    assert page.fields["payload/text"] == "x"


async def test_a_form_that_is_sent_twice_makes_one_job(client, store, post):
    fields = {"payload/text": "x", "once": "a1b2c3"}

    first, second = [await post("/types/text.words/run", fields) for _ in range(2)]
    changed = await post("/types/text.words/run", fields | {"payload/text": "y"})

    assert first.headers["location"] == second.headers["location"] != changed.headers["location"]


async def test_a_type_without_a_schema_takes_json(client, store, post):
    page = Reader((await client.get("/types/any.thing/run")).text)
    assert "json" in page.fields

    answer = await post("/types/any.thing/run", {"json": "[1.10, {}]"})

    raw = (await client.get(f"/v1{answer.headers['location']}/payload")).text
    assert raw == "[1.10, {}]"


@pytest.mark.parametrize("text", ["", "{", "[NaN]", '"\\ud800"', "[" * 100 + "]" * 100])
async def test_json_that_cannot_be_is_refused_in_the_form(client, store, post, text):
    answer = await post("/types/any.thing/run", {"json": text})

    assert answer.status_code == 400
    assert Reader(answer.text).fields["json"] == text


async def test_a_job_is_run_again_with_changes(client, store, post):
    answer = await post("/types/text.words/run", {"payload/text": "first", "payload/size": "4"})
    like = answer.headers["location"].removeprefix("/jobs/")

    page = Reader((await client.get(f"/types/text.words/run?like={like}")).text)
    again = await post("/types/text.words/run", page.fields | {"payload/text": "second"})

    assert await payload_of(client, again) == {"text": "second", "size": 4}


async def test_a_payload_without_room_in_the_form_is_shown_as_json(client, store):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    await store.types.announce([Announcement("loose.type", "d-loose", "p", "1", payload_schema=schema)])
    answer = await client.post("/v1/jobs", json={"job_type": "loose.type", "payload": {"a": 1, "b": "\n"}})

    page = Reader((await client.get(f"/types/loose.type/run?like={answer.json()['id']}")).text)

    assert json.loads(page.fields["json"]) == {"a": 1, "b": "\n"}
    assert "no field for" in page.text


async def test_a_payload_that_is_too_large_to_be_changed_by_hand_says_so(client, store):
    job_id = await submit(client, payload="x" * 1_100_000)

    answer = await client.get(f"/types/any.thing/run?like={job_id}")

    assert answer.status_code == 400
    assert "too large" in answer.text


async def test_a_type_that_nobody_serves_says_so_before(client, store):
    assert "Nobody serves this type now" in (await client.get("/types/text.words/run")).text
