"""What people look at: bounded heads, tails, counts and minutes."""

from __future__ import annotations

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState
from emp_core.store import CancelAsk

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def test_a_sheet_reads_no_more_of_a_payload_than_it_was_asked_for(engine: Engine) -> None:
    """Its whole size is known all the same."""
    job_id = await engine.submit(payload=b'"' + b"x" * 5000 + b'"')

    sheet = await engine.store.glances.sheet(job_id, payload_bytes=100, result_bytes=100)

    assert sheet is not None
    assert sheet.payload is not None
    assert (len(sheet.payload.text), sheet.payload.size, sheet.payload.is_whole) == (100, 5002, False)
    assert (sheet.result, sheet.position, sheet.log_length) == (None, 0, 0)


async def test_a_job_that_is_not_there_has_no_sheet(engine: Engine) -> None:
    """Nothing is made up for it."""
    glances, missing = engine.store.glances, new_job_id()

    assert await glances.sheet(missing, payload_bytes=100, result_bytes=100) is None
    assert await glances.error_heads([missing], 100) == [b""]


async def test_what_is_kept_is_counted_by_state_and_type(engine: Engine) -> None:
    """A total that only grows would say something else."""
    job_id = await engine.submit()
    await engine.store.jobs.cancel([CancelAsk(job_id, "me", "")])

    everything = {JobState.CANCELLED: 1, JobState.COMPLETED: 0, JobState.FAILED: 0}
    assert await engine.store.glances.kept() == everything
    assert await engine.store.glances.kept(TYPE) == everything
    assert set((await engine.store.glances.kept("another.type")).values()) == {0}


async def test_a_minute_tells_what_happened_in_it(engine: Engine) -> None:
    """The store's clock decides which minute that is."""
    history = engine.store.history
    before = int((await history.now()).timestamp()) // 60
    await engine.submit()
    after = int((await history.now()).timestamp()) // 60

    minutes = await history.minutes(range(before, after + 1))

    assert sum(minute.counts.get("submitted", {}).get(TYPE, 0) for minute in minutes) == 1
