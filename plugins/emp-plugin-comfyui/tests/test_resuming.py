"""A run survives broken sockets, lost answers and dead workers, ends with a cancelled job, and is never begun twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.responses import Response

from emp_plugin_comfyui import RUN, Run, opened, run
from emp_worker import JobError
from emp_worker.testing import FakeContext
from support.comfyui_nodes import PICTURE
from support.comfyui_stand_in import StandIn, serving
from support.comfyui_workflows import node, sampling
from support.swallower import swallowing
from support.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Attempt:
    """An attempt at a job, under way; its context can be handed to the attempt that follows."""

    def __init__(self, workflow: dict[str, Any], job: FakeContext | None = None) -> None:
        self.job = job or FakeContext(job_type=RUN.name)
        self.task = asyncio.create_task(self._perform(Run.model_validate({"workflow": workflow})))

    async def _perform(self, payload: Run) -> Any:
        async with opened() as tools:
            self.job.resources = tools
            return await run(payload, self.job)

    async def result(self) -> Any:
        return await asyncio.wait_for(asyncio.shield(self.task), 30)

    async def failure(self) -> JobError:
        with pytest.raises(JobError) as caught:
            await self.result()
        return caught.value

    async def die(self) -> None:
        """End as a killed process does: nothing is told to the server any more."""
        self.job.request_cancel(handed_over=True)
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def call_off(self) -> None:
        """End as a job does that somebody cancels."""
        self.job.request_cancel()
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def held(comfy: StandIn, name: str) -> None:
    """Wait until the stand-in is in the middle of a node."""
    await asyncio.to_thread(comfy.wait_held, name)


async def until(fact: Callable[[], object]) -> None:
    """Wait for something that the stand-in, which runs in another thread, comes to know."""
    await asyncio.to_thread(wait_until, fact, 20.0)


async def test_a_broken_socket_is_opened_again(comfy: StandIn):
    comfy.hold("3")
    attempt = Attempt(sampling())
    await held(comfy, "3")

    await asyncio.to_thread(comfy.drop_sockets)
    await until(lambda: len(comfy.connections) == 2)
    comfy.release()
    result = await attempt.result()

    assert len(result.files) == 1
    assert comfy.connections[0] == comfy.connections[1]
    assert any("the socket broke" in line.message for line in attempt.job.lines)


async def test_a_run_that_ends_while_the_socket_is_gone_is_read_from_the_history(comfy: StandIn):
    comfy.hold("3")
    attempt = Attempt(sampling())
    await held(comfy, "3")

    comfy.is_muted = True
    comfy.release()

    assert len((await attempt.result()).files) == 1


async def test_a_server_without_sockets_will_do(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    comfy.refuses_sockets = True

    assert len((await Attempt(sampling()).result()).files) == 1


async def test_a_run_that_is_under_way_is_taken_up_again(comfy: StandIn):
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")
    await first.die()
    assert f"the run {comfy.submissions[0]['prompt_id']} is left to the next attempt" in first.job.lines[-1].message

    second = Attempt(sampling(), first.job)
    await until(lambda: len(comfy.connections) == 2)
    comfy.release()
    result = await second.result()

    assert len(comfy.submissions) == 1
    assert result.prompt_id == comfy.submissions[0]["prompt_id"]
    assert comfy.interrupts == comfy.deletions == []


async def test_a_run_whose_handle_was_lost_is_found_all_the_same(comfy: StandIn):
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")
    await first.die()

    first.job.saved = b""
    second = Attempt(sampling(), first.job)
    comfy.release()
    await second.result()

    assert len(comfy.submissions) == 1


async def test_a_run_that_ended_meanwhile_is_not_begun_again(comfy: StandIn):
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")
    await first.die()
    comfy.release()
    await until(lambda: comfy.history)

    result = await Attempt(sampling(), first.job).result()

    assert len(comfy.submissions) == 1
    assert result.files[0].data == PICTURE


async def test_a_run_that_failed_meanwhile_fails_the_next_attempt(comfy: StandIn):
    workflow = sampling(**{"1": node("Explode", message="no such thing")})
    comfy.hold("3")
    first = Attempt(workflow)
    await held(comfy, "3")
    await first.die()
    comfy.release()
    await until(lambda: comfy.history)

    error = await Attempt(workflow, first.job).failure()

    assert error.code == "node_failed"
    assert len(comfy.submissions) == 1


async def test_after_a_failure_that_was_told_another_run_is_begun(comfy: StandIn):
    broken = sampling(**{"1": node("Explode", exception="OutOfMemoryError", message="no room")})
    first = Attempt(broken)
    await first.failure()

    await Attempt(sampling(), first.job).result()

    assert len({submission["prompt_id"] for submission in comfy.submissions}) == 2


async def test_a_submission_whose_answer_is_lost_is_not_repeated(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_REQUEST_SECONDS", "1")
    async with swallowing(comfy.port, "POST /prompt") as swallower:
        monkeypatch.setenv("EMP_COMFYUI_URL", f"http://127.0.0.1:{swallower.port}")
        result = await Attempt(sampling()).result()

    assert swallower.swallowed == 1
    assert len(comfy.submissions) == 1
    assert len(result.files) == 1


async def test_a_server_that_forgot_the_run_is_asked_again_by_the_next_attempt(comfy: StandIn):
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")

    await asyncio.to_thread(comfy.forget)
    error = await first.failure()
    comfy.release()
    await Attempt(sampling(), first.job).result()

    assert (error.code, error.retryable) == ("run_lost", True)
    assert len(comfy.submissions) == 2


async def test_a_server_that_is_away_for_a_while_is_waited_for(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    async with stopped() as port:
        monkeypatch.setenv("EMP_COMFYUI_URL", f"http://127.0.0.1:{port}")
        attempt = Attempt(sampling())
        await until(lambda: attempt.job.said)
    with serving(port=port) as server:
        await attempt.result()

    assert len(server.submissions) == 1


@asynccontextmanager
async def stopped() -> AsyncIterator[int]:
    """Give a port on which nobody listens."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    yield port


async def test_cancelling_interrupts_the_run(comfy: StandIn):
    comfy.hold("3")
    attempt = Attempt(sampling())
    await held(comfy, "3")

    await attempt.call_off()

    await until(lambda: comfy.history)
    (prompt_id,) = comfy.interrupts
    assert prompt_id == comfy.submissions[0]["prompt_id"]
    assert comfy.history[prompt_id]["status"]["messages"][-1][0] == "execution_interrupted"


async def test_cancelling_takes_a_run_that_waits_out_of_the_queue_and_leaves_others_alone(comfy: StandIn):
    comfy.hold("3")
    running = Attempt(sampling(seed=1))
    await held(comfy, "3")
    waiting = Attempt(sampling(seed=2))
    await until(lambda: len(comfy.pending) == 1)

    await waiting.call_off()
    comfy.release()
    await running.result()

    assert comfy.interrupts == []
    assert len(comfy.history) == 1


async def test_a_run_that_waits_says_behind_how_many(comfy: StandIn):
    comfy.hold("3")
    running = Attempt(sampling(seed=1))
    await held(comfy, "3")
    waiting = Attempt(sampling(seed=2))

    await until(lambda: any(said.message == "waiting behind 1 others" for said in waiting.job.said))
    comfy.release()
    await asyncio.gather(running.result(), waiting.result())


async def test_a_cancelled_job_that_is_revived_begins_another_run(comfy: StandIn):
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")
    await first.call_off()
    comfy.release()

    await Attempt(sampling(), first.job).result()

    assert len(comfy.submissions) == 2


async def test_a_run_that_somebody_stops_at_comfyui_fails(comfy: StandIn):
    comfy.hold("3")
    attempt = Attempt(sampling())
    await held(comfy, "3")

    await asyncio.to_thread(comfy.stop_running)
    error = await attempt.failure()

    assert (error.code, error.retryable) == ("interrupted", False)


async def test_a_server_that_chooses_the_id_itself_is_followed(comfy: StandIn):
    comfy.chooses_ids = True
    comfy.hold("3")
    first = Attempt(sampling())
    await held(comfy, "3")
    await until(lambda: any("was submitted" in line.message for line in first.job.lines))
    await first.die()

    second = Attempt(sampling(), first.job)
    comfy.release()
    await second.result()

    assert len(comfy.submissions) == 1


async def test_a_run_that_cannot_be_called_off_is_named_in_the_log(comfy: StandIn):
    comfy.hold("3")
    attempt = Attempt(sampling())
    await held(comfy, "3")
    comfy.answers["/queue"] = Response(status_code=503)

    await attempt.call_off()

    assert any("may go on at ComfyUI: status 503" in line.message for line in attempt.job.lines), attempt.job.lines
