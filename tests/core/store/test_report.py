"""start and report: that a handler began, how far it is, what it logs."""

from __future__ import annotations

import pytest

from emp_core.jobs import JobState, Report, Started
from emp_core.store import Reply

from .conftest import Engine

pytestmark = pytest.mark.anyio


async def test_a_started_job_is_in_progress(engine: Engine) -> None:
    """The start is visible with its time."""
    worker, claimed = await engine.claimed()

    replies = await engine.store.jobs.start(worker, [Started(claimed.job_id, claimed.token)])

    job = await engine.job(claimed.job_id)
    assert (replies, job.state) == ([Reply.OK], JobState.IN_PROGRESS)
    assert job.started_at is not None


async def test_a_second_start_keeps_the_time_of_the_first(engine: Engine) -> None:
    """A repeat of a start whose answer was lost changes nothing."""
    worker, claimed = await engine.claimed()
    await engine.write("start", worker, claimed.job_id, claimed.token)
    before = await engine.dump()
    await engine.pass_time(seconds=1)

    again = await engine.write("start", worker, claimed.job_id, claimed.token)

    assert again is Reply.OK
    assert await engine.dump() == before


@pytest.mark.every_engine
async def test_a_report_is_seen_in_the_job(engine: Engine) -> None:
    """Fraction and message are kept; what a report leaves out stays."""
    worker, job = await engine.claimed()

    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, 0.25, "quarter")])
    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, fraction=0.5)])

    seen = await engine.job(job.job_id)
    assert (seen.fraction, seen.message) == (0.5, "quarter")


async def test_a_message_can_be_cleared(engine: Engine) -> None:
    """An empty message is a message; none at all leaves what was."""
    worker, job = await engine.claimed()
    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, 0.5, "loading")])

    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, 0.6)])
    kept = (await engine.job(job.job_id)).message
    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, None, "")])

    assert (kept, (await engine.job(job.job_id)).message) == ("loading", "")


@pytest.mark.every_engine
async def test_log_lines_are_kept_in_order(engine: Engine) -> None:
    """Lines of several reports stand one after the other, and can be read from any of them on."""
    worker, job = await engine.claimed()

    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, log=(b'{"n":0}', b'{"n":1}'))])
    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, log=(b'{"n":2}',), log_from=2)])

    assert await engine.store.views.log(job.job_id) == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert await engine.store.views.log(job.job_id, 2) == [b'{"n":2}']


async def test_a_repeated_report_adds_no_line_twice(engine: Engine) -> None:
    """A report whose answer was lost is sent again, maybe with more lines by now."""
    worker, job = await engine.claimed()
    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, log=(b"0", b"1"))])

    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, log=(b"0", b"1", b"2"))])

    assert await engine.store.views.log(job.job_id) == [b"0", b"1", b"2"]


async def test_the_lines_of_the_next_attempt_follow(engine: Engine) -> None:
    """Each attempt counts its own lines from 0."""
    worker, first = await engine.claimed()
    await engine.store.jobs.report(worker, [Report(first.job_id, first.token, log=(b"0", b"1"))])
    await engine.write("release", worker, first.job_id, first.token)
    (second,) = await engine.claim(worker)

    await engine.store.jobs.report(worker, [Report(second.job_id, second.token, log=(b"2",))])

    assert await engine.store.views.log(first.job_id) == [b"0", b"1", b"2"]


async def test_a_log_keeps_its_last_lines(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a job is capped, also within one report of more than a thousand lines."""
    monkeypatch.setattr("emp_core.store.jobs.LOG_LINES_KEPT", 50)
    worker, job = await engine.claimed()

    await engine.store.jobs.report(worker, [Report(job.job_id, job.token, log=tuple(b"%d" % n for n in range(2500)))])

    assert await engine.store.views.log(job.job_id) == [b"%d" % n for n in range(2450, 2500)]
