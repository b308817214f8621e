"""Keys at the gate: who is let in, as whom, and what becomes of a key that is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emp_core.api_keys import Scope, new_key
from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import running, submit

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"require_key": True, "keys_fresh_for": timedelta(milliseconds=20)})


async def make(store, *scopes, name="tester", **options):
    """Store a key, and give the headers that show it."""
    key, text = new_key(name, scopes, **options)
    assert await store.api_keys.add(key)
    return key, {"authorization": f"Bearer {text}"}


async def test_without_a_key_nothing_but_health_answers(client):
    statuses = {path: (await client.get(path)).status_code for path in ("/v1/jobs", "/openapi.json", "/nope", "/livez")}

    assert statuses == {"/v1/jobs": 401, "/openapi.json": 401, "/nope": 401, "/livez": 200}


async def test_a_refusal_says_what_to_show(client):
    answer = await client.get("/v1/jobs")

    assert answer.json()["type"] == "urn:emp:problem:unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="emp"'


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer emp_x_y",
        "Basic {key}",
        "{key}",
        "Bearer {key}x",
        "Bearer {key} x",
        "Bearer " + "a" * 10_000,
        "Bearer emp_000000000000_" + "0" * 52,
        "Bearer \xff\xfe",
    ],
)
async def test_what_is_not_a_key_opens_nothing(client, store, shown):
    _, headers = await make(store, Scope.ADMIN)
    text = headers["authorization"].removeprefix("Bearer ")

    answer = await client.get("/v1/jobs", headers=[(b"authorization", shown.format(key=text).encode("latin-1"))])

    assert answer.status_code == 401


async def test_whoami_says_whose_key_it_is(client, store):
    key, headers = await make(store, Scope.OPERATE, name="on-call")

    answer = await client.get("/v1/whoami", headers=headers)

    assert answer.json() == {
        "key_id": key.key_id,
        "name": "on-call",
        "scopes": ["operate", "read"],
        "expires_at": None,
    }


async def test_the_scheme_may_be_written_in_any_case(client, store):
    _, headers = await make(store, Scope.READ)

    answer = await client.get(
        "/v1/jobs", headers={"authorization": headers["authorization"].replace("Bearer", "bEARER")}
    )

    assert answer.status_code == 200


async def test_an_expired_key_opens_nothing(client, store):
    _, headers = await make(store, Scope.ADMIN, expires_at=datetime.now(tz=UTC) - timedelta(seconds=1))

    assert (await client.get("/v1/jobs", headers=headers)).status_code == 401


async def test_a_revoked_key_opens_nothing_any_more(client, store):
    key, headers = await make(store, Scope.READ)
    assert (await client.get("/v1/jobs", headers=headers)).status_code == 200

    assert await store.api_keys.revoke(key.key_id)

    async def refused():
        return (await client.get("/v1/jobs", headers=headers)).status_code == 401

    await wait_until_async(refused)


async def test_a_key_in_the_address_is_not_looked_at(client, store):
    _, headers = await make(store, Scope.ADMIN)
    text = headers["authorization"].removeprefix("Bearer ")

    for name in ("api_key", "key", "access_token", "authorization"):
        assert (await client.get("/v1/whoami", params={name: text})).status_code == 401


async def test_a_damaged_record_opens_nothing_and_costs_no_other_key(client, store):
    key, headers = await make(store, Scope.READ)
    await store.api_keys._pipeline.send(("HSET", f"{store.api_keys._tag}:keys", "0" * 12, b"\xff{"))

    assert (await client.get("/v1/whoami", headers=headers)).json()["key_id"] == key.key_id


@pytest.mark.parametrize("how", ["another type", "no record can be read"])
async def test_damaged_keys_open_no_door(settings, store, how):
    name = f"{store.api_keys._tag}:keys"
    await store.api_keys._pipeline.send(("SET", name, "x") if how == "another type" else ("HSET", name, "0" * 12, "{"))

    with running(settings.model_copy(update={"require_key": False})) as server:
        async with asking(server.url) as client:
            assert (await client.get("/v1/whoami")).status_code == 401


async def test_a_submit_key_sees_its_own_jobs_only(client, store):
    _, mine = await make(store, Scope.SUBMIT, name="mine")
    _, others = await make(store, Scope.SUBMIT, name="others")
    client.headers.update(mine)
    job_id = await submit(client)

    for path in ("", "/payload", "/log"):
        assert (await client.get(f"/v1/jobs/{job_id}{path}")).status_code == 200
        seen = await client.get(f"/v1/jobs/{job_id}{path}", headers=others)
        unknown = await client.get(f"/v1/jobs/{job_id[:-1]}1{path}", headers=others)
        assert seen.status_code == unknown.status_code == 404
        assert _without_ids(seen.json()) == _without_ids(unknown.json())


def _without_ids(problem):
    return {name: text for name, text in problem.items() if name not in {"instance", "request_id", "detail"}}


async def test_a_submit_key_cancels_its_own_jobs_only(client, store):
    _, mine = await make(store, Scope.SUBMIT, name="mine")
    _, others = await make(store, Scope.SUBMIT, name="others")
    client.headers.update(mine)
    job_id = await submit(client)

    assert (await client.post(f"/v1/jobs/{job_id}/cancel", headers=others)).status_code == 404
    cancelled = await client.post(f"/v1/jobs/{job_id}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["cancel_request"]["by"] == "mine"


@pytest.mark.parametrize("path", ["/v1/job-types/any.thing/pause", "/v1/workers/x/drain", "/v1/jobs/x/revive"])
async def test_a_submit_key_does_not_operate(client, store, path):
    _, headers = await make(store, Scope.SUBMIT)

    answer = await client.post(path, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["scope"] == "operate"


async def test_idempotency_keys_belong_to_the_api_key(client, store):
    _, mine = await make(store, Scope.SUBMIT, name="mine")
    _, others = await make(store, Scope.SUBMIT, name="others")
    body = {"job_type": "any.thing", "payload": 1}

    ids = [
        (await client.post("/v1/jobs", json=body, headers={**whose, "idempotency-key": "k"})).json()["id"]
        for whose in (mine, mine, others)
    ]

    assert ids[0] == ids[1] != ids[2]


async def test_on_loopback_a_key_is_asked_for_as_soon_as_there_is_one(settings, store):
    open_settings = settings.model_copy(update={"require_key": False})
    with running(open_settings) as server:
        async with asking(server.url) as client:
            assert (await client.get("/v1/whoami")).json()["key_id"] is None
            key, headers = await make(store, Scope.READ)

            async def asks():
                return (await client.get("/v1/whoami")).status_code == 401

            await wait_until_async(asks)
            assert (await client.get("/v1/whoami", headers=headers)).status_code == 200

            # A server that has asked once goes on asking: revoking the last key opens no door.
            assert await store.api_keys.revoke(key.key_id)

            async def refused():
                return (await client.get("/v1/whoami", headers=headers)).status_code == 401

            await wait_until_async(refused)
            assert (await client.get("/v1/whoami")).status_code == 401


async def test_a_session_stands_for_its_key_and_ends_with_it(client, store):
    key, _ = await make(store, Scope.OPERATE)
    token = await store.api_keys.open_session(key.key_id, timedelta(minutes=1))
    cookie = {"cookie": f"other=1; emp_session={token}"}
    assert (await client.get("/v1/whoami", headers=cookie)).json()["key_id"] == key.key_id

    assert await store.api_keys.revoke(key.key_id)

    async def refused():
        return (await client.get("/v1/whoami", headers=cookie)).status_code == 401

    await wait_until_async(refused)


async def test_with_a_session_only_a_page_of_ours_changes_anything(client, server, store):
    key, _ = await make(store, Scope.OPERATE)
    token = await store.api_keys.open_session(key.key_id, timedelta(minutes=1))
    path, cookie = "/v1/job-types/any.thing/pause", {"cookie": f"emp_session={token}"}

    assert (await client.post(path, headers=cookie)).status_code == 403
    assert (await client.post(path, headers={**cookie, "sec-fetch-site": "same-site"})).status_code == 403
    assert (await client.post(path, headers={**cookie, "origin": "http://evil.example"})).status_code == 403
    assert (await client.post(path, headers={**cookie, "origin": server.url})).status_code == 200


async def test_a_browser_without_a_session_is_sent_to_the_way_in(client):
    answer = await client.get("/jobs?state=failed", headers={"accept": "text/html"}, follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?to=/jobs%3Fstate%3Dfailed"
