"""Every operation of the OpenAPI document with every scope: who may, who may not, who is told that there is none."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import pytest

from emp_core.api_keys import Scope, new_key
from support.plain_http import asking
from support.serving import running, stored_jobs, submit

pytestmark = pytest.mark.anyio

EVERYBODY = {"nobody", *Scope}
WITH_A_KEY = {*Scope}
SUBMITTERS = {Scope.SUBMIT, Scope.ADMIN}
READERS = {Scope.READ, Scope.OPERATE, Scope.ADMIN}
OPERATORS = {Scope.OPERATE, Scope.ADMIN}

ALLOWED = {
    "submit_job": SUBMITTERS,
    "submit_typed_job": SUBMITTERS,
    "submit_batch": SUBMITTERS,
    "list_jobs": READERS,
    "get_job": READERS,
    "get_payload": READERS,
    "get_result": READERS,
    "get_log": READERS,
    "job_events": READERS,
    "cancel_job": OPERATORS,
    "revive_job": OPERATORS,
    "act_on_jobs": OPERATORS,
    "list_job_types": WITH_A_KEY,
    "get_job_type": WITH_A_KEY,
    "get_schema": WITH_A_KEY,
    "validate_payload": WITH_A_KEY,
    "pause_job_type": OPERATORS,
    "resume_job_type": OPERATORS,
    "list_workers": READERS,
    "get_worker": READERS,
    "drain_worker": OPERATORS,
    "whoami": WITH_A_KEY,
    "get_stats": READERS,
    "all_events": READERS,
    "metrics": READERS,
    "livez": EVERYBODY,
    "readyz": EVERYBODY,
    "openapi": WITH_A_KEY,
    "docs": WITH_A_KEY,
}
"""Who may use each operation for a job of another key. An operation that is not here is not tested: add it."""

METHODS = {"get", "post", "put", "patch", "delete"}
OF_ITS_OWN = {"get_job", "get_payload", "get_result", "get_log", "job_events", "cancel_job"}
"""What a key with the scope `submit` may do with its own jobs; another's do not exist for it."""


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"require_key": True, "keys_fresh_for": timedelta(milliseconds=20)})


@pytest.fixture
async def keys(store):
    """Give the headers of a key with each scope, and of one with none."""
    headers = {"nobody": {}}
    for scope in Scope:
        key, text = new_key(scope.value, [scope])
        await store.api_keys.add(key)
        headers[scope] = {"authorization": f"Bearer {text}"}
    return headers


async def operations(client, keys):
    document = (await client.get("/openapi.json", headers=keys[Scope.ADMIN])).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete"} and not operation["operationId"].startswith(
                "submit."
            ):
                yield operation["operationId"], method.upper(), path


async def asked(client, method, path, headers, job_id):
    """Give the status of a request without a body, and of a stream without its events."""
    address = path.format(job_id=job_id, job_type="any.thing", worker_id="0" * 26)
    request = client.build_request(method, address, headers=headers)
    answer = await client.send(request, stream=True)
    await answer.aclose()
    return answer.status_code


async def test_every_operation_lets_in_who_has_its_scope_and_nobody_else(client, store, keys):
    admin = httpx2.Headers(keys[Scope.ADMIN])
    client.headers.update(admin)
    others = await submit(client)
    client.headers.pop("authorization")
    wrong, met = [], set()

    async for name, method, path in operations(client, keys):
        met.add(name)
        for who, headers in keys.items():
            status = await asked(client, method, path, headers, others)
            if who in ALLOWED[name]:
                right = status not in {401, 403}
            elif who == "nobody":
                right = status == 401
            elif who is Scope.SUBMIT and name in OF_ITS_OWN:
                right = status == 404
            else:
                right = status == 403
            if not right:
                wrong.append((name, method, path, who, status))

    assert not wrong
    assert met >= {"submit_job", "submit_typed_job", "cancel_job", "whoami"}


async def test_no_method_lets_in_who_shows_no_key(client, store, keys):
    wrong = []

    async for name, _, path in operations(client, keys):
        if ALLOWED[name] is not EVERYBODY:
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                status = await asked(client, method, path, {}, "0" * 26)
                # The pages of the monitor send people to the way in.
                if status not in {401, 303}:
                    wrong.append((method, path, status))

    assert not wrong
    assert await stored_jobs(store) == 0


async def test_a_key_with_submit_may_do_with_its_own_job_what_it_may(client, store, keys):
    mine = {"authorization": keys[Scope.SUBMIT]["authorization"]}
    statuses = {}

    async for name, method, path in operations(client, keys):
        if name in OF_ITS_OWN:
            client.headers.update(mine)
            own = await submit(client)
            client.headers.pop("authorization")
            statuses[name] = await asked(client, method, path, mine, own)

    assert set(statuses) == OF_ITS_OWN
    assert all(status in {200, 202} for status in statuses.values()), statuses


async def test_the_pages_of_the_monitor_have_their_scopes_too(settings, store, keys):
    from emp_server.monitor.routes import PAGES  # noqa: PLC0415 - only here

    with running(settings) as server:
        async with asking(server.url) as client:
            wrong = []
            for method, path, _, access in PAGES:
                if access.open:
                    continue
                for who in ("nobody", Scope.SUBMIT):
                    headers = {**keys[who], "origin": server.url}
                    status = await asked(client, method, path, headers, "0" * 26)
                    refused = {303, 401} if who == "nobody" else {403, 404}
                    may = who is Scope.SUBMIT and (access.or_submit or access.scope in {None, Scope.SUBMIT})
                    if not may and status not in refused:
                        wrong.append((method, path, who, status))

    assert not wrong
