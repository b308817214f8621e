"""What takes a worker process down is told: which handler, and how. A freeze is nobody's fault."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from emp_core.jobs import JobState, Reason
from emp_worker import watchdog
from emp_worker.heartbeat import BEAT_EVERY
from emp_worker.watchdog import SILENCE_LIMIT, Watchdog
from emp_worker.worker_process import SILENT_PATIENCE
from support.bench import Bench
from support.waiting import wait_until_async

from .conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LEASE = 15.0


def test_the_limits_leave_a_fifth_of_a_lease() -> None:
    """A third of a lease may be gone since the last renewal when the interpreter lock is taken."""
    assert LEASE / 3 + SILENCE_LIMIT + SILENT_PATIENCE + BEAT_EVERY <= LEASE * 0.8


async def test_a_handler_that_keeps_the_interpreter_lock_ends_its_worker_and_is_named(
    bench: Bench, start_naughty: Start
) -> None:
    """A catastrophic regular expression stops even the heartbeat; the neighbour runs again before the lease is over."""
    supervisor = start_naughty()
    neighbour = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 3}')
    await bench.until(neighbour, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    began = time.monotonic()
    culprit = await bench.submit(job_type="naughty.backtracks", max_attempts=1)

    ended = await bench.final(culprit, timeout=20)
    took = time.monotonic() - began
    innocent = await bench.final(neighbour, timeout=20)

    error = json.loads(ended.error or b"{}")["message"]
    assert ended.job.reason is Reason.WORKER_LOST
    assert "watchdog" in error
    assert "backtracks" in error
    assert took < LEASE * 0.8
    assert (innocent.job.state, innocent.job.attempt) == (JobState.COMPLETED, 2)
    assert '"event": "worker_died"' in supervisor.output()


async def test_a_culprit_is_found_and_ended_without_its_neighbours(bench: Bench, start_naughty: Start) -> None:
    """It takes the worker down once; its next attempt has a process of its own, which its time limit ends."""
    start_naughty()
    neighbour = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 10}')
    await bench.until(neighbour, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    ended = await bench.final(
        await bench.submit(job_type="naughty.backtracks", timeout=timedelta(seconds=1), max_attempts=2), timeout=30
    )
    innocent = await bench.final(neighbour, timeout=20)

    assert [(attempt.outcome, attempt.reason) for attempt in ended.attempts] == [
        ("lost", "worker_lost"),
        ("failed", "timeout"),
    ]
    assert (innocent.job.state, innocent.job.attempt, innocent.job.losses) == (JobState.COMPLETED, 2, 1)


async def test_a_worker_that_was_stopped_and_continued_lives_on(bench: Bench, start_naughty: Start) -> None:
    """Stopped for longer than the watchdog's limit and shorter than a lease, it keeps its id, and its job runs once."""
    supervisor = start_naughty()
    job_id = await bench.submit(job_type="naughty.waits", payload=b'{"seconds": 9}')
    await bench.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)
    (before,) = await bench.store.workers.list()

    os.kill(before.pid, signal.SIGSTOP)
    await anyio.sleep(SILENCE_LIMIT + 2)  # the fault itself
    os.kill(before.pid, signal.SIGCONT)
    supervisor.wait_for("worker_was_silent")
    ended = await bench.final(job_id, timeout=10)
    (after,) = await bench.store.workers.list()

    assert (ended.job.state, ended.job.attempt, ended.job.losses) == (JobState.COMPLETED, 1, 0)
    assert (after.worker_id, after.pid) == (before.worker_id, before.pid)


async def test_a_crash_names_its_handler(bench: Bench, start_naughty: Start) -> None:
    """The signal, what the interpreter called it, and where."""
    start_naughty()

    ended = await bench.final(await bench.submit(job_type="naughty.crashes", max_attempts=1), timeout=20)

    error = json.loads(ended.error or b"{}")["message"]
    assert "SIGSEGV" in error
    assert "Segmentation fault" in error
    assert "crashes" in error


async def test_a_child_that_was_left_behind_hides_no_death(bench: Bench, start_naughty: Start) -> None:
    """A grandchild holds what it inherited; the death is reported all the same, and a new worker starts."""
    start_naughty()
    (first,) = await wait_until_async(bench.store.workers.list, timeout=20)

    ended = await bench.final(
        await bench.submit(job_type="naughty.leaves_child", payload=b'{"seconds": 60}', max_attempts=1), timeout=5
    )

    async def successor() -> bool:
        return any(worker.pid != first.pid for worker in await bench.store.workers.list())

    assert "exit code 7" in json.loads(ended.error or b"{}")["message"]
    assert await wait_until_async(successor)


def test_stacks_that_are_written_while_the_thread_is_held_up_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old timer may fire between the look at the clock and the new timer: the process says then that it lives."""
    begin_timer = faulthandler.dump_traceback_later

    def begin_late(*args: Any, **options: Any) -> None:
        time.sleep(0.2)
        begin_timer(*args, **options)

    monkeypatch.setattr(watchdog, "SILENCE_LIMIT", 0.3)
    monkeypatch.setattr(watchdog, "_FEED_EVERY", 0.1)
    stacks, said = tmp_path / "stacks", []
    with stacks.open("wb") as file:
        dog = Watchdog(file.fileno(), said.append)
        try:
            dog.feed()
            time.sleep(0.2)
            monkeypatch.setattr(faulthandler, "dump_traceback_later", begin_late)
            dog.feed()
        finally:
            dog.stop()
            faulthandler.enable()

    assert "Timeout" in stacks.read_text()
    assert [set(each) for each in said] == [{"silent"}]
