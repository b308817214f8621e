"""`emp store migrate` on a store as older releases wrote it: what it shows, what it changes, what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from emp_core.ids import JobId, new_job_id, new_worker_id
from emp_core.jobs import OnWorkerLost, Submission
from emp_core.store import Store, open_store
from emp_core.store.format import NEWEST_FORMAT, OLDEST_FORMAT
from support.emp_command import EmpCommand

pytestmark = pytest.mark.anyio

Run = Callable[..., subprocess.CompletedProcess[str]]
TYPE = "test.work"


@pytest.fixture
def migrate(emp_command: EmpCommand, redis_url: str, namespace: str, tmp_path: Path) -> Run:
    """Return a function that runs `emp store migrate` on the test's namespace, in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace}
        return emp_command.run("store", "migrate", *arguments, cwd=tmp_path, env={**os.environ, **own})

    return run


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """Return a client of the store below EMP."""
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    """Return the store."""
    async with open_store(redis_url, namespace) as store:
        yield store


@pytest.fixture
async def old_jobs(store: Store, client: Redis, namespace: str) -> list[JobId]:
    """Return jobs that wait in a store of format 0, whose records have their number under its older name."""
    jobs = [Submission(new_job_id(), TYPE, b"1") for _ in range(3)]
    await store.jobs.submit(jobs)
    for job in jobs:
        key = name(namespace, f"job:{job.job_id}")
        await client.hset(key, "seq", await client.hget(key, "no"))
        await client.hdel(key, "no")
    await client.delete(name(namespace, "format"))
    return [job.job_id for job in jobs]


def name(namespace: str, kind: str) -> str:
    """Return the full name of a key."""
    return f"{{emp:{namespace}:00}}:{kind}"


async def claimed(store: Store) -> list[JobId]:
    """Return the jobs that a new worker gets."""
    worker = new_worker_id()
    await store.workers.register(worker, {"name": "tester"})
    return [job.job_id for job in (await store.jobs.claim(worker, 1, {TYPE: 9}, 9)).jobs]


async def test_without_apply_it_shows_and_changes_nothing(
    migrate: Run, client: Redis, namespace: str, old_jobs: list[JobId]
) -> None:
    ran = migrate()

    assert ran.returncode == 0
    assert "no readable format number" in ran.stdout
    assert "3 job records, 3 of them in an older form" in ran.stdout
    assert "Nothing was changed" in ran.stdout
    assert await client.hget(name(namespace, f"job:{old_jobs[0]}"), "no") is None
    assert await client.exists(name(namespace, "format")) == 0


async def test_with_apply_the_waiting_jobs_run(migrate: Run, store: Store, old_jobs: list[JobId]) -> None:
    """They keep their order; a second run has nothing to do."""
    ran, again = migrate("--apply"), migrate("--apply")

    assert (ran.returncode, again.returncode) == (0, 0)
    assert f"Migrated to format {OLDEST_FORMAT}" in ran.stdout
    assert "nothing to migrate" in again.stdout
    assert await claimed(store) == old_jobs


async def test_a_store_that_lost_its_number_gets_the_one_that_its_records_call_for(
    migrate: Run, client: Redis, namespace: str, store: Store
) -> None:
    """A release of format 1 would run a job again that is to fail with its worker."""
    await store.jobs.submit([Submission(new_job_id(), TYPE, b"1", on_worker_lost=OnWorkerLost.FAIL)])
    await client.delete(name(namespace, "format"))

    migrate("--apply")

    assert await client.get(name(namespace, "format")) == b"2"


async def test_an_interrupted_migration_can_be_repeated(
    migrate: Run, client: Redis, namespace: str, store: Store, old_jobs: list[JobId]
) -> None:
    """One record has both names already, another only the new one."""
    both, done = (name(namespace, f"job:{job_id}") for job_id in old_jobs[:2])
    await client.hset(both, "no", await client.hget(both, "seq"))
    await client.hset(done, "no", await client.hget(done, "seq"))
    await client.hdel(done, "seq")

    assert migrate("--apply").returncode == 0
    assert await claimed(store) == old_jobs


async def test_a_store_in_use_is_not_migrated(
    migrate: Run, client: Redis, namespace: str, old_jobs: list[JobId]
) -> None:
    """A janitor of an older release has swept just now; the dry run says so, too."""
    await client.hset(name(namespace, "sweep"), "at", int(time.time() * 1000))

    ran, dry = migrate("--apply"), migrate()

    assert ran.returncode == 2
    assert "at work on this store" in ran.stderr
    assert "at work on the store now" in dry.stdout
    assert await client.hget(name(namespace, f"job:{old_jobs[0]}"), "no") is None


async def test_a_new_store_needs_no_migration(migrate: Run) -> None:
    ran = migrate("--apply")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "nothing to migrate" in ran.stdout


@pytest.mark.parametrize("number", [str(NEWEST_FORMAT + 1), "9" * 14])
async def test_a_newer_store_is_left_alone(migrate: Run, client: Redis, namespace: str, number: str) -> None:
    await client.set(name(namespace, "format"), number)

    ran = migrate("--apply")

    assert ran.returncode == 2
    assert "Install the release" in ran.stderr
    assert await client.get(name(namespace, "format")) == number.encode()


async def test_what_is_no_record_is_left_alone_and_counted(
    migrate: Run, client: Redis, namespace: str, old_jobs: list[JobId]
) -> None:
    await client.rpush(name(namespace, "job:odd"), "x")

    document = json.loads(migrate("--apply", "--json").stdout)

    assert (document["records"], document["changed"], document["unreadable"]) == (4, 3, 1)
    assert document["applied"] is True
    assert await client.lrange(name(namespace, "job:odd"), 0, -1) == [b"x"]


async def test_another_namespace_is_not_touched(
    migrate: Run, client: Redis, namespace: str, old_jobs: list[JobId]
) -> None:
    """Not even one whose name a pattern would match."""
    other = name(f"{namespace}x", "job:a")
    await client.hset(other, "seq", "1")

    migrate("--apply")

    assert await client.hgetall(other) == {b"seq": b"1"}
    await client.delete(other)


def test_a_store_that_is_unreachable_ends_with_8(migrate: Run) -> None:
    assert migrate("--redis-url", "redis://127.0.0.1:1/0").returncode == 8
