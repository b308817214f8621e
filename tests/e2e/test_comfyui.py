"""comfyui.run in a whole EMP: its worker is killed in the middle, and nothing is paid for twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from support.comfyui_nodes import PICTURE
from support.comfyui_stand_in import StandIn, serving
from support.comfyui_workflows import sampling
from support.processes import StartedProcess
from support.waiting import wait_until

from .conftest import Stack

pytestmark = pytest.mark.slow


@pytest.fixture
def comfy() -> Iterator[StandIn]:
    with serving() as server:
        yield server
        server.release()


@pytest.fixture
def worker(stack: Stack, comfy: StandIn) -> StartedProcess:
    """Start a worker as a machine with a GPU has it, and wait until its job type can be submitted."""
    process = stack.start_worker(
        "--types", "comfyui.*", "--concurrency", "1", "--grace", "0", env={"EMP_COMFYUI_URL": comfy.url}
    )
    wait_until(lambda: "comfyui.run" in {each.job_type for each in stack.client.job_types()}, timeout=20)
    return process


def test_a_worker_that_is_killed_costs_no_second_run(stack: Stack, comfy: StandIn, worker: StartedProcess):
    comfy.hold("3")
    sent = stack.client.submit("comfyui.run", {"workflow": sampling()})
    comfy.wait_held("3")
    (view,) = stack.client.workers()

    os.kill(view.pid, signal.SIGKILL)
    wait_until(lambda: len(comfy.connections) == 2, timeout=30)
    comfy.release()
    job = stack.client.wait(sent.id, timeout=30)

    assert (job.state, job.attempt) == ("completed", 2)
    assert [len(comfy.submissions), comfy.interrupts, comfy.deletions] == [1, [], []]
    (file,) = stack.client.result(sent.id)["files"]
    assert file["bytes"] == len(PICTURE)


def test_a_worker_that_is_stopped_leaves_the_run_to_the_next(stack: Stack, comfy: StandIn, worker: StartedProcess):
    comfy.hold("3")
    sent = stack.client.submit("comfyui.run", {"workflow": sampling()})
    comfy.wait_held("3")

    worker.send(signal.SIGTERM)
    worker.wait()
    comfy.release()
    stack.start_worker("--types", "comfyui.*", env={"EMP_COMFYUI_URL": comfy.url})
    job = stack.client.wait(sent.id, timeout=30)

    assert job.state == "completed"
    assert [len(comfy.submissions), comfy.interrupts, comfy.deletions] == [1, [], []]


def test_a_cancelled_job_interrupts_its_run(stack: Stack, comfy: StandIn, worker: StartedProcess):
    comfy.hold("3")
    sent = stack.client.submit("comfyui.run", {"workflow": sampling()})
    comfy.wait_held("3")

    stack.client.cancel(sent.id)
    job = stack.client.wait(sent.id, timeout=30)

    assert job.state == "cancelled"
    assert comfy.interrupts == [comfy.submissions[0]["prompt_id"]]


def test_a_refused_workflow_shows_where_over_http(stack: Stack, comfy: StandIn, worker: StartedProcess):
    workflow = sampling()
    del workflow["3"]["inputs"]["seed"]

    sent = stack.client.submit("comfyui.run", {"workflow": workflow})
    job = stack.client.wait(sent.id, timeout=30)

    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert job.error["errors"][0]["pointer"] == "/workflow/3/inputs/seed"
