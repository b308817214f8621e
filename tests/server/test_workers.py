"""Workers and counts."""

from __future__ import annotations

import pytest

from .conftest import submit

pytestmark = pytest.mark.anyio


async def test_a_worker_is_listed_with_what_it_said_and_holds(client, worker):
    job_id = await submit(client)
    await worker.start("any.thing")

    [found] = (await client.get("/v1/workers")).json()["workers"]

    assert (found["id"], found["name"], found["status"], found["slots"]) == (worker.worker_id, "tester", "busy", 2)
    assert (found["held"], found["current"]) == (1, [job_id])
    assert found["types"] == {"any.thing": "d-any", "text.words": "d-words"}


async def test_one_worker_is_shown(client, worker):
    assert (await client.get(f"/v1/workers/{worker.worker_id}")).json()["status"] == "idle"


async def test_a_worker_that_left_is_listed_as_gone_with_the_reason(client, store, worker):
    await store.workers.leave(worker.worker_id, "it was time")

    answer = (await client.get("/v1/workers")).json()

    assert answer["workers"] == []
    assert [(gone["id"], gone["reason"]) for gone in answer["gone"]] == [(worker.worker_id, "it was time")]


async def test_a_worker_is_asked_to_drain(client, store, worker):
    answer = await client.post(f"/v1/workers/{worker.worker_id}/drain")

    assert (answer.status_code, answer.json()["status"]) == (202, "draining")
    assert (await store.workers.renew(worker.worker_id, 0.0)).draining


@pytest.mark.parametrize("worker_id", ["01m85563vqzsd3j29k878vnwdw", "me", "..%2f"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("POST", "/drain")])
async def test_an_unknown_worker_is_not_found(client, method, rest, worker_id):
    answer = await client.request(method, f"/v1/workers/{worker_id}{rest}")

    assert answer.status_code == 404


async def test_counts_are_by_type_and_state(client, worker):
    await submit(client)
    await submit(client)
    await worker.complete(await worker.start("any.thing"))

    stats = (await client.get("/v1/stats")).json()

    counts = {state: number for state, number in stats["counts"]["any.thing"].items() if number}
    assert counts == {"pending": 1, "submitted": 2, "completed": 1}
    assert len(stats["minutes"]) == 60
    assert sum(minute["submitted"].get("any.thing", 0) for minute in stats["minutes"]) == 2
    assert list(stats["oldest_pending"]) == ["any.thing"]
