"""HEAD is answered as GET without the body (RFC 9110, section 9.3.2)."""

from __future__ import annotations

import asyncio

import pytest

from emp_server.app import ROUTES

from .conftest import submit

pytestmark = pytest.mark.anyio

OF_THE_REQUEST = {"date", "x-request-id"}
PATHS = [path for method, path, *_ in ROUTES if method == "GET" and not path.endswith("/events")]


def lasting_headers(answer):
    return {name: value for name, value in answer.headers.items() if name not in OF_THE_REQUEST}


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_answered_as_get_without_the_body(client, worker, path):
    names = {"job_id": await submit(client), "job_type": "any.thing", "worker_id": worker.worker_id}

    got, head = [await client.request(method, path.format(**names)) for method in ("GET", "HEAD")]

    assert (head.status_code, head.content) == (got.status_code, b"")
    assert set(lasting_headers(head)) == set(lasting_headers(got))
    assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/{job_id}/events"])
async def test_head_of_a_stream_is_answered_at_once(client, path):
    async with asyncio.timeout(5):
        head = await client.head(path.format(job_id=await submit(client)))

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_of_what_is_not_there_is_404_and_of_what_only_acts_405(client):
    assert (await client.head("/v1/jobs/nope")).status_code == 404
    acts = await client.head("/v1/jobs/batch/cancel")
    assert (acts.status_code, acts.headers["allow"]) == (405, "POST")
