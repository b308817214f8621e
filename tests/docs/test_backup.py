"""The steps of the page on backups, on a real store: what was there at the snapshot is there after the restore."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import JobState, Submission
from emp_core.store import open_store
from support.pages import page, section
from support.stores import StartedStore, started_store
from support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.process]

USUAL = ("--appendonly", "yes")
STEPS = section(page("docs/how-to/back-up-the-store.md"), "Restore a backup")


async def submitted(store: StartedStore) -> JobId:
    """Submit a job."""
    job = Submission(new_job_id(), "a.type", b"1")
    async with open_store(store.url, "default") as opened:
        await opened.jobs.submit([job])
    return job.job_id


async def state(store: StartedStore, job_id: JobId) -> JobState | None:
    """Return the state of a job, None if there is none."""
    async with open_store(store.url, "default") as opened:
        [job] = await opened.views.get([job_id])
    return job and job.state


def is_rewritten(store: StartedStore) -> bool:
    """Return whether the append-only file is whole."""
    info = store.client.info("persistence")
    return (
        info["aof_rewrite_in_progress"] == 0 and info["aof_last_bgrewrite_status"] == "ok" and info["aof_enabled"] == 1
    )


async def test_a_backup_is_restored_by_the_steps_of_the_page(tmp_path: Path) -> None:
    assert all(
        step in STEPS for step in ("`--appendonly no`", "CONFIG SET appendonly yes", "aof_rewrite_in_progress:0")
    )
    with started_store(tmp_path / "data", *USUAL) as store:
        kept = await submitted(store)
        store.client.save()
        shutil.copy(tmp_path / "data" / "dump.rdb", tmp_path / "backup.rdb")
        later = await submitted(store)

    (tmp_path / "new").mkdir()
    shutil.copy(tmp_path / "backup.rdb", tmp_path / "new" / "dump.rdb")
    with started_store(tmp_path / "new", "--appendonly", "no") as store:
        store.client.config_set("appendonly", "yes")
        wait_until(lambda: is_rewritten(store), 20)
        store.client.shutdown(nosave=True)
    with started_store(tmp_path / "new", *USUAL) as store:
        assert await state(store, kept) is JobState.PENDING
        assert await state(store, later) is None


async def test_a_snapshot_beside_an_append_only_file_is_ignored(tmp_path: Path) -> None:
    """Why the page takes the way round: an empty append-only file wins over the snapshot."""
    with started_store(tmp_path / "data") as store:
        lost = await submitted(store)
        store.client.save()

    with started_store(tmp_path / "data", *USUAL) as store:
        assert await state(store, lost) is None
