"""What a store really keeps when it is killed while its disk is behind: level process loses, level disk does not."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from emp_core.errors import StoreUnavailable
from emp_core.ids import JobId, new_job_id
from emp_core.jobs import Submission
from emp_core.store import Level, open_store
from support.stores import StartedStore, started_store
from support.waiting import wait_until

pytestmark = pytest.mark.anyio

SOURCE = Path(__file__).parents[2] / "support" / "slow_disk.c"
SYNC_MILLISECONDS = 1800


@pytest.fixture(scope="module")
def slow_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that makes syncs slow; without a compiler, skip (EMP_TEST_REQUIRE_CC=1: fail)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        if os.environ.get("EMP_TEST_REQUIRE_CC") == "1":
            pytest.fail("no C compiler on the PATH")
        pytest.skip("no C compiler on the PATH to build the slow disk with")
    library = tmp_path_factory.mktemp("slow_disk") / "slow_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


async def killed_under_load(store: StartedStore, slowness: Path, seconds: float) -> dict[JobId, float]:
    """Submit to a store whose disk is slow, and kill it; gives how long before that each submission was answered."""
    answered: dict[JobId, float] = {}
    async with open_store(store.url, "x") as emp:
        await emp.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])
        await asyncio.to_thread(slowness.write_text, str(SYNC_MILLISECONDS))

        async def client() -> None:
            while store.process.poll() is None:
                job_id = new_job_id()
                try:
                    await emp.jobs.submit([Submission(job_id, "test.work", b'"' + b"x" * 1000 + b'"')])
                except StoreUnavailable:  # unknown: it is not promised
                    continue
                answered[job_id] = time.monotonic()

        clients = [asyncio.create_task(client()) for _ in range(5)]
        await asyncio.sleep(seconds)
        await asyncio.to_thread(wait_until, lambda: is_behind(store), 20)
        store.kill()
        end = time.monotonic()
        await asyncio.gather(*clients)
    return {job_id: end - at for job_id, at in answered.items()}


def is_behind(store: StartedStore) -> bool:
    """Tell whether answered writes wait for the disk; with `always` there are none."""
    facts = store.client.info("persistence")
    is_synced_each_time = store.client.config_get("appendfsync")["appendfsync"] == "always"
    return is_synced_each_time or facts["aof_buffer_length"] > 100_000


async def lost_of(store: StartedStore, answered: dict[JobId, float]) -> list[float]:
    """Give how long before the end those were answered that the store does not have."""
    async with open_store(store.url, "x") as emp:
        ids, jobs = list(answered), []
        for at in range(0, len(ids), 1000):
            jobs += await emp.views.get(ids[at : at + 1000])
        return [answered[job_id] for job_id, job in zip(ids, jobs, strict=True) if job is None]


@pytest.mark.slow
@pytest.mark.parametrize(("appendfsync", "level"), [("everysec", Level.PROCESS), ("always", Level.DISK)])
async def test_a_store_killed_while_its_disk_is_behind_loses_the_last_seconds_at_level_process_and_nothing_at_disk(
    slow_disk: Path, tmp_path: Path, appendfsync: str, level: Level
) -> None:
    """The figure of the promises: about two seconds of answered writes, and none where each is synced."""
    slowness = tmp_path / "milliseconds"
    env = {"LD_PRELOAD": str(slow_disk), "SLOW_DISK": str(slowness)}
    options = ("--appendonly", "yes", "--appendfsync", appendfsync)
    with started_store(tmp_path / "store", *options, env=env) as store:
        async with open_store(store.url, "x") as emp:
            durability = await emp.durability()
        answered = await killed_under_load(store, slowness, seconds=4.0)
    slowness.unlink()
    with started_store(tmp_path / "store", *options) as again:
        lost = await lost_of(again, answered)

    print(f"{appendfsync}: {len(answered)} answered, {len(lost)} lost, the oldest {max(lost, default=0):.2f} s before")
    assert durability.level is level
    assert answered
    if level is Level.DISK:
        assert lost == []
    else:
        assert lost
        assert max(lost) < 4.0
