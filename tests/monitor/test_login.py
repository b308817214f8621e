"""Who may see and do what in the monitor, where keys are asked for: the way in, sessions, scopes, the way out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.api_keys import Scope, new_key
from support.page_reading import Reader
from support.plain_http import asking
from support.serving import running

pytestmark = pytest.mark.anyio


ACTS = {"Cancel…", "Cancel selected…", "Revive selected…", "Pause…", "Drain…", "Run", "Run again with changes"}


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"require_key": True, "keys_fresh_for": timedelta(milliseconds=20)})


@pytest.fixture
async def log_in(post, store, client):
    """Give a function that logs in with a new key, and gives the answer."""

    async def act(*scopes, to="", key=None):
        client.cookies.clear()
        made, text = new_key("night-shift", scopes or (Scope.READ,))
        assert await store.api_keys.add(made)
        return await post("/login", {"key": key or text, "to": to})

    return act


async def test_a_key_opens_a_session_and_leads_to_the_wanted_page(log_in, client):
    answer = await log_in(to="/jobs?state=failed")

    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "night-shift" in Reader((await client.get("/jobs?state=failed")).text).text


@pytest.mark.parametrize("text", ["", "emp_wrong", "<script>", "x" * 5000, "\u0000", "émp"])
async def test_what_is_no_key_is_refused_on_the_page(log_in, text):
    answer = await log_in(key=text or " ")

    assert answer.status_code == 401
    assert "Not logged in" in Reader(answer.text).text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "//[",
        "/login",
    ],
)
async def test_the_login_leads_to_no_other_server(log_in, client, to):
    assert (await log_in(to=to)).headers["location"] == "/"
    client.cookies.clear()
    assert Reader((await client.get("/login", params={"to": to})).text).fields["to"] == ""


async def test_whoever_has_a_session_goes_past_the_login(log_in, client):
    await log_in()

    answer = await client.get("/login", params={"to": "/types"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/types")


async def test_a_session_that_is_over_gets_the_login(client):
    answer = await client.get("/login", headers={"cookie": "emp_session=nothing"})

    assert answer.status_code == 200
    assert "key" in Reader(answer.text).fields


async def test_logging_out_ends_the_session_itself(log_in, post, client):
    await log_in()
    token = client.cookies["emp_session"]

    answer = await post("/logout")

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    again = await client.get("/jobs", headers={"cookie": f"emp_session={token}"})
    assert again.headers["location"] == "/login?to=/jobs"


async def test_a_page_elsewhere_can_log_nobody_in_or_out(client, server):
    for path in ("/login", "/logout"):
        answer = await client.post(path, data={"key": "x"}, headers={"origin": "http://evil.example"})
        assert answer.status_code in {401, 403}


async def test_who_only_reads_is_offered_no_act_and_can_do_none(log_in, post, client, worker):
    await log_in(Scope.SUBMIT, Scope.READ)
    job_id = (await post("/types/any.thing/run", {"json": "1"})).headers["location"].removeprefix("/jobs/")
    await log_in(Scope.READ)
    paths = ["/jobs", f"/jobs/{job_id}", "/types", "/types/any.thing", "/workers", f"/workers/{worker.worker_id}"]

    for path in paths:
        page = Reader((await client.get(path)).text)
        assert not ACTS & {each.strip() for each in page.words}
        assert not any(link.endswith("/run") for link in page.links)
    fields = {"action": "cancel", "id": job_id, "confirmed": "yes"}
    assert (await post("/jobs/actions", fields)).status_code == 403
    assert (await post("/types/any.thing/pause", {"confirmed": "yes"})).status_code == 403
    assert (await post(f"/workers/{worker.worker_id}/drain", {"confirmed": "yes"})).status_code == 403
    assert (await post("/types/any.thing/run", {"json": "1"})).status_code == 403


async def test_who_operates_acts(log_in, post, worker):
    await log_in(Scope.OPERATE)

    answer = await post(f"/workers/{worker.worker_id}/drain", {"confirmed": "yes"})

    assert answer.status_code == 303


async def test_a_key_that_only_submits_begins_where_it_may_be(log_in, client):
    answer = await log_in(Scope.SUBMIT)

    assert answer.headers["location"] == "/docs"
    page = Reader((await client.get("/docs")).text)
    assert "/workers" not in page.links


async def test_a_server_that_asks_nobody_says_so(settings, store):
    with running(settings.model_copy(update={"require_key": False})) as server:
        async with asking(server.url) as client:
            answer = await client.get("/login")

    assert "asks nobody for a key" in Reader(answer.text).text
