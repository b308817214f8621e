"""A worker with few file descriptors says so at its start, and starts no more child processes than it has them for."""

from __future__ import annotations

import re

import pytest

from emp_core.jobs import JobState
from support.bench import Bench
from support.processes import StartedProcess

from .conftest import EMP, Start

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def start_limited(bench: Bench, start_process: Start) -> Start:
    """Give a function that starts `emp worker` with so many file descriptors."""

    def start(files: int, *options: str) -> StartedProcess:
        options = ("--redis-url", bench.url, "--namespace", bench.namespace, "--children", "2", *options)
        return start_process(["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", EMP, "worker", *options])

    return start


@pytest.mark.parametrize("files", [18, 24, 40])
async def test_a_worker_with_too_few_file_descriptors_does_not_start(start_limited: Start, files: int) -> None:
    """It says how many it needs and what to run, once, and ends with exit code 2."""
    worker = start_limited(files)

    assert worker.wait(20) == 2
    assert re.search(rf"may open {files} files and needs \d\d; run `ulimit -n 1024` before it", worker.output())
    assert "worker_restarts" not in worker.output()


async def test_lost_jobs_wait_for_file_descriptors_and_do_not_fail(bench: Bench, start_limited: Start) -> None:
    """As many run at once as there are descriptors for; none fails for want of them."""
    jobs = [await bench.submit(job_type="simulation.run", payload=b'{"steps": 5}') for _ in range(12)]
    await bench.lose(*jobs)

    worker = start_limited(60)
    done = [await bench.final(each, timeout=40) for each in jobs]

    assert {(each.job.state, each.job.attempt) for each in done} == {(JobState.COMPLETED, 2)}
    assert "few_file_descriptors" in worker.output()
