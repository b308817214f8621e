"""What is logged while a handler runs carries the job, its type, the worker and the attempt, in every mode."""

from __future__ import annotations

import json
import re

import pytest

from emp_core.jobs import JobState
from support.waiting import wait_until

pytestmark = pytest.mark.anyio

SOURCE = """
import asyncio, logging
import structlog
from pydantic import BaseModel, Field
from emp_worker import JobType, hookimpl

class Text(BaseModel):
    text: str = Field(description="what to log")

async def on_loop(payload: Text) -> None:
    await asyncio.sleep(0)
    logging.getLogger("handler").warning("from the handler: %s", payload.text)
    structlog.get_logger().warning("said", text=payload.text)

def elsewhere(payload: Text) -> None:
    logging.getLogger("handler").warning("from the handler: %s", payload.text)
    structlog.get_logger().warning("said", text=payload.text)

@hookimpl
def emp_job_types():
    return [
        JobType("logs.async", on_loop),
        JobType("logs.thread", elsewhere),
        JobType("logs.process", elsewhere, isolation="process"),
    ]
"""


async def logged(bench, site, install_plugin, start_worker, mode):
    """Run three jobs of a mode, and give them with the worker's log."""
    install_plugin("emp-test-logs", SOURCE)
    job_type = f"logs.{mode}"
    job_ids = [await bench.submit(job_type=job_type, payload=b'{"text":"t%d"}' % n) for n in range(3)]
    worker = start_worker("--types", job_type, PYTHONPATH=str(site), EMP_LOG_FORMAT="json")
    for job_id in job_ids:
        assert (await bench.final(job_id, 60)).job.state is JobState.COMPLETED

    def lines():
        found = [json.loads(line) for line in worker.output().splitlines() if line.endswith("}")]
        return len([line for line in found if re.search(r"\bt[012]\b", str(line))]) >= 6 and found

    return job_ids, wait_until(lines, 30)


@pytest.mark.parametrize("mode", ["async", "thread"])
async def test_a_line_of_a_handler_says_which_attempt_it_is_of(bench, site, install_plugin, start_worker, mode):
    job_ids, lines = await logged(bench, site, install_plugin, start_worker, mode)

    for n, job_id in enumerate(job_ids):
        own = [line for line in lines if line.get("text") == f"t{n}" or line["event"] == f"from the handler: t{n}"]
        assert len(own) == 2
        for line in own:
            told = (line["job_id"], line["job_type"], line["attempt"], len(line["worker_id"]))
            assert told == (job_id, f"logs.{mode}", 1, 26)
    [started] = [line for line in lines if line["event"] == "worker_started"]
    assert "job_id" not in started


async def test_a_line_of_a_child_process_says_it_and_what_the_worker_says_of_the_child_does_not(
    bench, site, install_plugin, start_worker
):
    """A child outlives the job that it was started for."""
    job_ids, lines = await logged(bench, site, install_plugin, start_worker, "process")

    said = [line for line in lines if line["event"] == "child_said"]
    for n, job_id in enumerate(job_ids):
        own = [line["line"] for line in said if re.search(rf"\bt{n}\b", line["line"])]
        assert len(own) == 2
        for text in own:
            assert f"job_id={job_id}" in text
            assert "job_type=logs.process" in text
            assert "attempt=1" in text
            assert "worker_id=" in text
    of_children = [line for line in lines if line["event"].startswith("child_s")]
    assert {line["event"] for line in of_children} == {"child_started", "child_said"}
    assert not [line for line in of_children if "job_id" in line]
