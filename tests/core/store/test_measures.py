"""Measures: what a monitoring system reads; totals that never go back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Failed, JobState, Reason
from emp_core.store.measures import read_birth

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio


async def test_a_duration_counts_in_a_bucket_and_in_the_sum(engine: Engine) -> None:
    """Three seconds of waiting are below 4,096 ms, and not below 2,048."""
    await engine.submit()
    worker = await engine.worker()
    await engine.pass_time(seconds=3)
    (job,) = await engine.claim(worker)
    await engine.write("start", worker, job.job_id, job.token)
    await engine.pass_time(seconds=40)
    await engine.write("complete", worker, job.job_id, job.token)

    durations = (await engine.store.measures.measure()).durations

    assert durations["wait"][TYPE].buckets == {12: 1}
    assert timedelta(seconds=3) <= durations["wait"][TYPE].total < timedelta(seconds=4)
    assert durations["run"][TYPE].buckets == {16: 1}
    assert timedelta(seconds=40) <= durations["run"][TYPE].total < timedelta(seconds=42)


@pytest.mark.every_engine
async def test_totals_outlive_the_minutes_and_the_jobs(engine: Engine) -> None:
    """What was counted stays when the jobs are deleted and the minutes expire."""
    worker, job = await engine.claimed()
    await engine.write("start", worker, job.job_id, job.token)
    await engine.write("fail", worker, job.job_id, job.token)
    before = await engine.store.measures.measure()

    await engine.pass_time(days=8)
    await engine.sweep()
    await engine.client.delete(*(key for key in await engine.all_keys() if ":minute:" in key))
    after = await engine.store.measures.measure()

    assert before.kept[TYPE][JobState.FAILED] == 1
    assert after.kept[TYPE][JobState.FAILED] == 0
    assert (after.durations, after.failures, after.counts) == (before.durations, before.failures, before.counts)


async def test_a_failure_is_counted_under_its_reason(engine: Engine) -> None:
    """What a worker says, what expires, and what loses its worker for the last time."""
    worker, job = await engine.claimed()
    await engine.store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.TIMEOUT, b"{}")])
    await engine.submit(expires_in=timedelta(seconds=1))
    await engine.tend(2)
    lonely, _ = await engine.claimed(max_attempts=1)
    await engine.lose(lonely)

    failures = (await engine.store.measures.measure()).failures

    assert failures == {TYPE: {"timeout": 1, "expired": 1, "worker_lost": 1}}


async def test_a_repeated_finish_counts_once(engine: Engine) -> None:
    """A client that heard no answer sends it again."""
    worker, job = await engine.claimed()
    await engine.write("start", worker, job.job_id, job.token)
    await engine.write("complete", worker, job.job_id, job.token)
    once = await engine.store.measures.measure()

    await engine.write("complete", worker, job.job_id, job.token)

    assert (await engine.store.measures.measure()).durations == once.durations


@pytest.mark.every_engine
async def test_it_says_what_waits_what_is_paused_and_what_is_kept(engine: Engine) -> None:
    """Per job type."""
    await engine.submit(job_type="test.paused")
    await engine.store.types.pause("test.paused")
    worker, job = await engine.claimed()
    await engine.write("complete", worker, job.job_id, job.token)
    await engine.submit(new_job_id(), new_job_id())
    await engine.pass_time(minutes=5)

    measured = await engine.store.measures.measure()

    assert measured.paused == {"test.paused"}
    assert measured.counts[TYPE]["pending"] == 2
    assert measured.kept[TYPE] == {JobState.COMPLETED: 1, JobState.FAILED: 0, JobState.CANCELLED: 0}
    assert "test.paused" not in measured.kept
    for job_type in (TYPE, "test.paused"):
        assert timedelta(minutes=5) <= measured.at - measured.oldest_pending[job_type] < timedelta(minutes=6)


async def test_workers_are_told_with_their_state_room_and_lateness(engine: Engine) -> None:
    """One works, one is idle and late, and one has lost its lease."""
    measures, workers = engine.store.measures, engine.store.workers
    lost = await engine.worker()
    await engine.pass_time(seconds=16)
    await engine.store.jobs.sweep()
    busy, _ = await engine.claimed()
    idle = await engine.worker()
    info = {"slots": 7, "types": {TYPE: "d", "test.other": "d"}}
    await workers.register(idle, info)
    await workers.renew(idle, 0.25)
    await engine.pass_time(seconds=4)

    found = {worker.status: worker for worker in (await measures.measure()).workers}

    assert (busy, lost) != (idle, idle)
    assert set(found) == {"busy", "idle", "lost"}
    assert found["busy"].held == 1
    assert (found["idle"].slots, found["idle"].types) == (7, {TYPE, "test.other"})
    assert found["idle"].loop_lag == timedelta(seconds=0.25)
    assert timedelta(seconds=4) <= found["idle"].renewed_ago < timedelta(seconds=6)
    assert found["lost"].renewed_ago >= timedelta(seconds=20)


@pytest.mark.parametrize("info", ["", "{", "[]", '{"slots":"many","types":[1]}', '{"slots":null}'])
async def test_a_damaged_worker_is_counted_all_the_same(engine: Engine, info: str) -> None:
    """What it said of itself cannot be read; that it is there can."""
    worker = await engine.worker()
    await engine.client.hset(engine.keys("worker", worker), "info", info)

    (reading,) = (await engine.store.measures.measure()).workers

    assert (reading.status, reading.slots, reading.types) == ("idle", 0, frozenset())


async def test_of_many_workers_the_rest_is_counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading is bounded, and says what it leaves out."""
    monkeypatch.setattr("emp_core.store.measures.WORKERS_SHOWN", 2)
    for _ in range(5):
        await engine.worker()

    measured = await engine.store.measures.measure()

    assert (len(measured.workers), measured.workers_beyond) == (2, 3)


async def test_the_birth_of_the_store_is_in_its_epoch(engine: Engine) -> None:
    """Whoever gives it: a worker that registers, or a server."""
    assert (await engine.store.measures.measure()).born is None
    epoch = await engine.store.initialize()
    by_server = (await engine.store.measures.measure()).born
    await engine.client.delete(engine.keys("epoch"))
    await engine.worker()
    by_worker = (await engine.store.measures.measure()).born

    assert by_server == read_birth(epoch.encode())
    for born in (by_server, by_worker):
        assert born is not None
        assert abs(datetime.now(UTC) - born) < timedelta(minutes=5)


@pytest.mark.parametrize("epoch", [b"", b"0123456789abcdef", b"-x", b"1-x", b"12345678901234567-x"])
def test_an_epoch_without_a_time_has_no_birth(epoch: bytes) -> None:
    """Such as one that an older release has given."""
    assert read_birth(epoch) is None
