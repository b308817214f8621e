"""Who operated: a line for each, with the key that did it."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from emp_core.api_keys import Scope, new_key
from emp_server.audit import Rejections
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


async def test_logins_and_logouts_are_lines_with_the_key_and_the_address(client, store):
    key, text = new_key("ann", [Scope.READ])
    await store.api_keys.add(key)
    headers = {"origin": str(client.base_url).rstrip("/")}

    with capture_logs() as lines:
        await client.post("/login", data={"key": text}, headers=headers)
        await client.post("/logout", data={"": ""}, headers=headers)

    said = [(line["event"], line["key"], line["by"], line["address"]) for line in lines if line["event"] in NAMES]
    assert said == [(name, key.key_id, "ann", "127.0.0.1") for name in ("login", "logout")]


NAMES = {"login", "logout", "login_rejected", "key_rejected"}


async def test_rejected_keys_and_logins_are_lines_without_what_was_sent(client, store):
    """One a second at most: the others are counted."""
    key, _ = new_key("ann", [Scope.READ])
    await store.api_keys.add(key)
    headers = {"origin": str(client.base_url).rstrip("/")}

    with capture_logs() as lines:
        await client.post("/login", data={"key": "emp_canary"}, headers=headers)
        for _ in range(3):
            await client.get("/v1/jobs", headers={"authorization": "Bearer emp_canary"})

    said = [line for line in lines if line["event"] in NAMES]
    assert [(line["event"], line["log_level"], line["address"]) for line in said] == [
        ("login_rejected", "warning", "127.0.0.1")
    ]
    assert "canary" not in str(lines)


def test_rejections_are_counted_while_they_are_not_logged():
    now = [0.0]
    rejections = Rejections(lambda: now[0])

    with capture_logs() as lines:
        for _ in range(5):
            rejections.log("key_rejected", {"client": ("192.0.2.1", 1)}, "no such key")
        now[0] = 1.5
        rejections.log("key_rejected", {"client": None}, "no such key")

    assert [(line["omitted"], line["address"]) for line in lines] == [(0, "192.0.2.1"), (4, "")]
