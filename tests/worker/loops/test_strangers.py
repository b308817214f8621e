"""Jobs that the store thinks a worker holds and that it does not know are given back."""

from __future__ import annotations

import pytest

from emp_core.ids import new_worker_id
from emp_core.jobs import JobState, Released
from emp_worker.strangers import Strangers

from .conftest import TYPE, Bench

pytestmark = pytest.mark.anyio


async def test_a_stranger_is_released_uncharged_and_a_known_job_is_not(bench: Bench) -> None:
    """The job of an answer that never came runs elsewhere; the others are left alone."""
    known, stranger = await bench.submit(), await bench.submit()
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    await bench.store.jobs.claim(worker, 1, {TYPE: 2}, 2)
    released: list[Released] = []

    await Strangers(bench.store, worker, lambda: frozenset({known}), released.append).step()
    await bench.store.jobs.release(worker, released)

    assert [outcome.job_id for outcome in released] == [stranger]
    job = await bench.job(stranger)
    assert (job.state, job.attempt) == (JobState.PENDING, 0)


async def test_nothing_is_released_while_a_claim_is_outstanding(bench: Bench) -> None:
    """Its jobs may be on their way."""
    await bench.submit()
    worker = new_worker_id()
    await bench.store.workers.register(worker, {})
    await bench.store.jobs.claim(worker, 1, {TYPE: 1}, 1)
    released: list[Released] = []

    await Strangers(bench.store, worker, lambda: None, released.append).step()

    assert released == []


async def test_one_difference_is_no_suspicion(bench: Bench) -> None:
    """Outcomes and claims are always under way, so only two differing counts running make the worker look."""
    strangers = Strangers(bench.store, new_worker_id(), frozenset, lambda _: None)

    strangers.counted(1)
    strangers.counted(0)
    strangers.counted(1)
    assert not strangers.is_suspicious

    strangers.counted(1)
    assert strangers.is_suspicious
