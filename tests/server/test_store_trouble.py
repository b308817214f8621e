"""The server and a store in trouble: what the client is told, what is noticed, and which store is not begun on."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import structlog

from emp_core.store import Store, open_store
from emp_core.store.embedded import EmbeddedStore
from emp_server.settings import ServerSettings
from emp_server.store_watch import StoreWatch
from support.plain_http import asking
from support.processes import StartedProcess, free_port
from support.stores import StartedStore, started_store
from support.waiting import wait_until, wait_until_async

from .conftest import ANYTHING, register, running

pytestmark = [pytest.mark.anyio, pytest.mark.process]

EMP = str(Path(sys.executable).with_name("emp"))
A_JOB = {"job_type": ANYTHING.job_type, "payload": 1}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StartedStore]:
    """Run a store that the test may configure and freeze."""
    with started_store(tmp_path / "primary") as store:
        yield store


@asynccontextmanager
async def served(url: str, **settings: str) -> AsyncIterator[tuple[httpx2.AsyncClient, Store]]:
    """Run a server on a store, with a job type that is known."""
    async with open_store(url, "mine") as store:
        await store.types.announce([ANYTHING])
        with running(
            ServerSettings(redis_url=url, namespace="mine", job_types_fresh_for="PT60S", **settings)
        ) as server:
            async with asking(server.url) as client:
                yield client, store


async def test_readiness_says_what_the_store_keeps(own: StartedStore) -> None:
    own.client.config_set("appendonly", "yes")

    async with served(own.url) as (client, _):
        ready = (await client.get("/readyz")).json()

    assert ready["durability"] == {"level": "process", "why": "appendonly yes, appendfsync everysec", "replicas": 0}
    assert ready["emptied"] == 0


async def test_a_frozen_store_is_not_ready(own: StartedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a round trip tells: its connections stand."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.3)
    async with served(own.url) as (client, _):
        before = await client.get("/readyz")
        with own.frozen():
            during = await client.get("/readyz")
        await wait_until_async(lambda: is_ready(client))

    assert (before.status_code, during.status_code) == (200, 503)


async def is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("setting", "status", "problem"),
    [
        (("min-replicas-to-write", 1), 503, "store-unavailable"),
        (("maxmemory", 1), 507, "store-full"),
    ],
    ids=["NOREPLICAS", "OOM"],
)
async def test_a_submission_that_the_store_refuses_surely_was_not_done(
    own: StartedStore, setting: tuple[str, int], status: int, problem: str
) -> None:
    async with served(own.url) as (client, _):
        assert (await client.post("/v1/jobs", json=A_JOB)).status_code == 202
        own.client.config_set(*setting)

        refused = await client.post("/v1/jobs", json=A_JOB)

        own.client.config_set(setting[0], 0)
    assert (refused.status_code, refused.json()["type"]) == (status, f"urn:emp:problem:{problem}")
    assert refused.json()["outcome"] == "not_done"
    assert int(refused.headers["retry-after"]) > 0


async def test_a_submission_without_an_answer_has_an_unknown_outcome(
    own: StartedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.3)
    async with served(own.url) as (client, _):
        assert (await client.post("/v1/jobs", json=A_JOB)).status_code == 202
        with own.frozen():
            unsure = await client.post("/v1/jobs", json=A_JOB)

    assert (unsure.status_code, unsure.json()["outcome"]) == (503, "unknown")


async def test_a_submission_that_ends_before_it_is_sent_surely_was_not_done(
    own: StartedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server could not even read the job types."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.3)
    async with served(own.url) as (client, _):
        with own.frozen():
            refused = await client.post("/v1/jobs", json=A_JOB)

    assert (refused.status_code, refused.json()["outcome"]) == (503, "not_done")


async def test_a_repeat_whose_first_job_cannot_be_read_does_not_deny_it(own: StartedStore) -> None:
    """The job is stored, and no answer may read as if it were not."""
    own.client.execute_command("ACL", "SETUSER", "server", "on", ">sesame", "~*", "&*", "+@all")
    async with served(f"redis://server:sesame@127.0.0.1:{own.port}/0") as (client, _):
        await client.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "k"})
        own.client.execute_command("ACL", "SETUSER", "server", "-zrank")

        again = await client.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "k"})

    assert (again.status_code, again.json()["outcome"]) == (503, "unknown")


async def test_with_durability_replica_a_submission_is_answered_when_a_replica_has_it(
    own: StartedStore, tmp_path: Path
) -> None:
    """While none confirms, its outcome is unknown; sent again with its key it is the same job."""
    own.client.config_set("min-replicas-to-write", 1)
    own.client.config_set("min-replicas-max-lag", 60)
    with started_store(tmp_path / "replica") as replica:
        replica.replicates(own)
        wait_until(lambda: own.client.info("replication").get("min_slaves_good_slaves") == 1)
        async with served(own.url, durability="replica") as (client, store):
            ready = (await client.get("/readyz")).json()
            with replica.frozen():
                unsure = await client.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "k"})
            again = await client.post("/v1/jobs", json=A_JOB, headers={"Idempotency-Key": "k"})
            counts = (await store.views.stats()).counts[ANYTHING.job_type]
        stored = replica.client.exists(f"{{emp:mine:00}}:job:{again.json()['id']}")

    assert ready["durability"]["level"] == "replica"
    assert (unsure.status_code, unsure.json()["outcome"]) == (503, "unknown")
    assert (again.status_code, counts["submitted"], stored) == (202, 1, 1)


@pytest.mark.parametrize("query", ["", "?job_type=any.thing", "?state=completed"])
async def test_every_stream_of_everything_is_told_of_an_outage(tmp_path: Path, query: str) -> None:
    """Also one with a filter: who listens reads again then."""
    with EmbeddedStore(tmp_path / "data", port=0) as own:
        async with served(own.url) as (client, _), client.stream("GET", f"/v1/events{query}") as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("retry"):
                pass
            own.kill()
            await asyncio.to_thread(own.start)

            async with asyncio.timeout(20):
                while await anext(lines) != "event: gap":
                    pass


async def test_a_filtered_stream_reads_no_job(own: StartedStore) -> None:
    """Updates carry the job's type: a server whose store refuses reads still streams them."""
    own.client.execute_command("ACL", "SETUSER", "server", "on", ">sesame", "~*", "&*", "+@all")
    async with (
        open_store(own.url, "mine") as store,
        served(f"redis://server:sesame@127.0.0.1:{own.port}/0") as (client, _),
    ):
        hand = await register(store)
        await client.post("/v1/jobs", json=A_JOB)
        async with client.stream("GET", "/v1/events?job_type=any.thing") as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("retry"):
                pass
            own.client.execute_command("ACL", "SETUSER", "server", "-hmget", "-hgetall")
            await hand.claim(ANYTHING.job_type)

            async with asyncio.timeout(20):
                while await anext(lines) != "event: job_update":
                    pass


async def test_a_store_that_came_back_empty_is_noticed_without_any_worker(tmp_path: Path) -> None:
    """By its epoch, which the server gives it; said in the log, and counted for monitors."""
    with EmbeddedStore(tmp_path / "data", port=0) as own, structlog.testing.capture_logs() as logs:
        async with open_store(own.url, "mine") as store:
            watch = StoreWatch(store)
            first = await watch.step()
            own.kill()
            await asyncio.to_thread(own.start)
            same = await watch.step()
            own.kill()
            shutil.rmtree(own.data_dir / "appendonlydir")
            await asyncio.to_thread(own.start)
            other = await watch.step()

    assert first == same != other
    assert watch.emptied == 1
    [said] = [log for log in logs if log["event"] == "store_came_back_empty"]
    assert (said["epoch_before"], said["epoch"]) == (first, other)


@pytest.mark.parametrize("command", ["server", "worker"])
def test_a_store_that_throws_jobs_away_is_not_begun_on(
    own: StartedStore, start_process: Callable[..., StartedProcess], command: str
) -> None:
    own.client.config_set("maxmemory-policy", "allkeys-lru")

    process = start_process([EMP, command, "--redis-url", own.url])

    assert process.wait() == 2
    assert "CONFIG SET maxmemory-policy noeviction" in process.output()


@pytest.mark.parametrize("command", ["server", "worker"])
def test_a_store_that_lets_nobody_in_is_not_begun_on(
    own: StartedStore, start_process: Callable[..., StartedProcess], command: str
) -> None:
    own.client.config_set("requirepass", "sesame")

    process = start_process([EMP, command, "--redis-url", own.url])

    assert process.wait() == 2
    assert "check the user and password in redis_url" in process.output()


def test_the_server_says_at_its_start_what_the_store_keeps(
    own: StartedStore, start_process: Callable[..., StartedProcess]
) -> None:
    process = start_process([EMP, "server", "--redis-url", own.url, "--port", str(free_port())])

    assert (
        "durability=memory" in process.wait_for("store_found.*").group() or '"durability": "memory"' in process.output()
    )
    assert "every job is lost when the store stops" in process.output()
    assert "warning" in process.output()
