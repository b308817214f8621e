"""A job carries the trace of its submission, whatever becomes of it, and nothing where there is none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Submission

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=a,other=b c"


async def test_a_claim_gives_the_trace_of_the_submission(engine: Engine) -> None:
    """Beside a handle, which is the last word of a claim's answer."""
    worker, job = await engine.claimed(trace=TRACE)
    await engine.write("save", worker, job.job_id, job.token)
    await engine.lose(worker)

    (again,) = await engine.claim(await engine.worker())

    assert (job.trace, again.trace, again.handle) == (TRACE, TRACE, b'{"n":1}')


@pytest.mark.parametrize("ending", ["retry", "release", "refuse", "lost"])
async def test_every_further_attempt_has_the_trace(engine: Engine, ending: str) -> None:
    worker, job = await engine.claimed(trace=TRACE)

    if ending == "lost":
        await engine.lose(worker)
    else:
        await engine.write(ending, worker, job.job_id, job.token)
    await engine.tend(11)

    (again,) = await engine.claim(await engine.worker())
    assert again.trace == TRACE


async def test_a_revived_job_has_the_trace(engine: Engine) -> None:
    worker, job = await engine.claimed(trace=TRACE)
    await engine.write("fail", worker, job.job_id, job.token)

    await engine.store.jobs.revive([job.job_id])

    (again,) = await engine.claim(worker)
    assert again.trace == TRACE


async def test_a_job_for_later_has_the_trace(engine: Engine) -> None:
    await engine.submit(trace=TRACE, delay=timedelta(seconds=5))

    await engine.tend(6)

    (job,) = await engine.claim(await engine.worker())
    assert job.trace == TRACE


async def test_jobs_of_one_call_have_each_their_own_trace(engine: Engine) -> None:
    """What they have in common is written once for those of a trace."""
    traces = [f"00-{number:032x}-b7ad6b7169203331-01" for number in (1, 2, 2)]
    await engine.store.jobs.submit(
        [Submission(job_id=new_job_id(), job_type=TYPE, payload=b"{}", trace=trace) for trace in (*traces, "")]
    )

    jobs = await engine.claim(await engine.worker(), 4)

    assert [job.trace for job in jobs] == [*traces, ""]


async def test_nothing_is_stored_where_there_is_no_trace(engine: Engine) -> None:
    """A job without a trace is the job that it was before there were any."""
    job_id = await engine.submit()

    fields = await engine.client.hgetall(engine.keys("job", job_id))

    assert set(fields) == {b"type", b"no", b"created_at"}
    assert fields[b"type"].decode() == TYPE
