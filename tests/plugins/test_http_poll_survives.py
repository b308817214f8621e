"""http.poll and a worker that is killed: the service sees one submission, and the job completes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState, Submission
from emp_core.store import open_store
from support.bench import Bench
from support.http_service import Asked, Reply, Service
from support.processes import StartedProcess

pytestmark = pytest.mark.anyio

EMP = str(Path(sys.executable).with_name("emp"))


class Renders(Service):
    """A service that takes work, and is done with it when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_done = False
        self.json("/renders", {"id": "r-1"}, status=202)
        self.routes["/renders/r-1"] = self.state

    def state(self, _: Asked) -> Reply:
        status = {"status": "done", "picture": "attic.png"} if self.is_done else {"status": "running"}
        return Reply(body=json.dumps(status).encode())


@pytest.fixture
def renders() -> Iterator[Renders]:
    service = Renders()
    yield service
    service.close()


@pytest.mark.slow
async def test_a_killed_worker_costs_no_second_submission(
    redis_url: str, namespace: str, renders: Renders, start_process: Callable[..., StartedProcess]
) -> None:
    """Kill -9 of the worker and its supervisor in the middle; the next worker asks for the id that was kept."""
    env = {"EMP_HTTP_TARGETS": "http://127.0.0.1:*", "EMP_HTTP_ALLOW_NETWORKS": "127.0.0.0/8"}
    payload = {
        "submit": {"url": f"{renders.url}/renders", "json_body": {"scene": "attic"}},
        "status_url": f"{renders.url}/renders/{{id}}",
        "result_pointer": "/picture",
        "interval_seconds": 0.05,
    }
    command = [EMP, "worker", "--redis-url", redis_url, "--namespace", namespace, "--types", "http.*"]
    async with open_store(redis_url, namespace) as store:
        bench = Bench(store, redis_url, namespace)
        job_id = new_job_id()
        await store.jobs.submit([Submission(job_id=job_id, job_type="http.poll", payload=json.dumps(payload).encode())])
        process = start_process(command, env=env)
        await bench.until(job_id, lambda job: job.message == "running", timeout=30)

        (worker,) = [pid for pid, line in process.left_running().items() if "emp_worker.process" in line]
        os.kill(worker, signal.SIGKILL)
        await bench.until(job_id, lambda job: job.attempt == 2 and job.message == "running", timeout=30)
        renders.is_done = True
        done = await asyncio.wait_for(bench.final(job_id, timeout=30), 40)

    assert done.job.state is JobState.COMPLETED
    assert done.result is not None
    assert json.loads(done.result) == {"id": "r-1", "state": "done", "result": "attic.png", "taken_up": True}
    assert renders.count("POST", "/renders") == 1
