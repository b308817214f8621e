"""Who operated: a line for each, with the key that did it."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from emp_core.api_keys import Scope, new_key
from support.serving import submit
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio


async def test_each_act_of_an_operator_is_a_line_with_the_key_and_the_outcome(client, store):
    key, text = new_key("on-call", [Scope.SUBMIT, Scope.OPERATE])
    await store.api_keys.add(key)
    client.headers["authorization"] = f"Bearer {text}"
    job_id = await submit(client)

    with capture_logs() as lines:
        await client.post(f"/v1/jobs/{job_id}/cancel")
        await client.get("/v1/jobs")
        await wait_until_async(lambda: asyncio.sleep(0, [line for line in lines if line["event"] == "audit"]))

    [line] = [line for line in lines if line["event"] == "audit"]
    assert (line["key"], line["by"], line["status"]) == (key.key_id, "on-call", 200)
    assert (line["method"], line["path"]) == ("POST", f"/v1/jobs/{job_id}/cancel")


async def test_an_act_that_is_refused_is_a_line_too(client, store):
    key, text = new_key("program", [Scope.READ])
    await store.api_keys.add(key)

    with capture_logs() as lines:
        await client.post("/v1/job-types/any.thing/pause", headers={"authorization": f"Bearer {text}"})
        # The line is written when the answer is on its way.
        await wait_until_async(lambda: asyncio.sleep(0, [line for line in lines if line["event"] == "audit"]))

    [line] = [line for line in lines if line["event"] == "audit"]
    assert (line["by"], line["status"]) == ("program", 403)
