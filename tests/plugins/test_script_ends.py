"""script.run and a worker that is killed: its command does not outlive it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from emp_core.store import open_store
from support.bench import Bench
from support.processes import StartedProcess, is_alive
from support.waiting import wait_until

pytestmark = pytest.mark.anyio

EMP = str(Path(sys.executable).with_name("emp"))
COMMAND = """import os, time
print("EMP_PROGRESS 0.5", os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
async def test_a_command_does_not_outlive_its_killed_worker(
    redis_url: str, namespace: str, tmp_path: Path, start_process: Callable[..., StartedProcess]
) -> None:
    """Kill -9 of the worker: the command, in a process group of its own, ends with it."""
    commands = tmp_path / "commands.toml"
    commands.write_text(f"[commands.wait]\nargv = ['{sys.executable}', '-c', '''{COMMAND}''']\n")
    payload = json.dumps({"command": "wait"}).encode()
    async with open_store(redis_url, namespace) as store:
        bench = Bench(store, redis_url, namespace)
        job_id = new_job_id()
        await store.jobs.submit([Submission(job_id=job_id, job_type="script.run", payload=payload, max_attempts=1)])
        process = start_process(
            [EMP, "worker", "--redis-url", redis_url, "--namespace", namespace, "--types", "script.*"],
            env={"EMP_SCRIPT_COMMANDS": str(commands)},
        )
        job = await bench.until(job_id, lambda job: job.message.isdigit(), timeout=30)
        (worker,) = [pid for pid, line in process.left_running().items() if "emp_worker.process" in line]

        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(int(job.message)))
