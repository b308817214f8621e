"""Run a workflow: taken up again if it is under way, else submitted; followed to its end; what it made is fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, assert_never

from emp_plugin_comfyui.failures import lost, mapping, of_entry, sequence
from emp_plugin_comfyui.feed import Feed
from emp_plugin_comfyui.handle import Handle
from emp_plugin_comfyui.messages import Ended
from emp_plugin_comfyui.models import Run, RunResult
from emp_plugin_comfyui.outputs import fetch, references, values
from emp_plugin_comfyui.progress import RunProgress
from emp_plugin_comfyui.server import (
    AnswerLost,
    ComfyServer,
    Finished,
    Running,
    Standing,
    Unknown,
    Waiting,
)
from emp_plugin_comfyui.settings import ComfySettings, place
from emp_plugin_comfyui.uploads import with_files
from emp_worker import JobContext, JobError

_BEGUN: Final = 0.05
_FETCHING: Final = 0.95
"""The shares of a job's progress at which its run begins and has ended."""
_WITHDRAWAL: Final = 3.0
"""Seconds in which a run that was called off is withdrawn; the worker waits no longer."""
_SETTLING: Final = 5.0
"""Seconds after which a submission that arrived is in the queue."""
_LOOK_AGAIN: Final = 0.5


class WorkflowRun:
    """One attempt at a job."""

    def __init__(self, payload: Run, job: JobContext, server: ComfyServer, settings: ComfySettings) -> None:
        self._payload = payload
        self._job = job
        self._server = server
        self._settings = settings
        self._progress = RunProgress(payload.workflow)
        self._handle = Handle.kept(job) or Handle.numbered(job.job_id, 1)

    async def perform(self) -> RunResult:
        """Do it.

        Raises:
            JobError: it failed; the code says how.
        """
        try:
            standing = await self._find()
            feed = Feed(
                self._server.url,
                self._handle.client_id,
                connect_seconds=self._settings.request_seconds,
                message_limit=self._settings.answer_limit_bytes,
            )
            await feed.open()
            try:
                if isinstance(standing, Unknown):
                    await self._submit()
                    entry = await self._follow(feed, self._settings.poll_seconds)
                else:
                    self._job.log.info("the run %s is taken up again", self._handle.prompt_id)
                    entry = await self._follow(feed, 0.0)
            finally:
                await feed.close()
        except asyncio.CancelledError:
            if self._job.handed_over:
                # Who takes the job over takes the run over; somebody who cancels the job before that finds it here.
                self._job.log.info("the run %s is left to the next attempt", self._handle.prompt_id)
            else:
                await self._call_off()
            raise
        self._log_end(feed)
        result = await self._result(entry)
        self._job.progress(1.0, "done")
        return result

    async def _find(self) -> Standing:
        """Look for a run of this job, so that what an earlier attempt has begun is not paid for twice."""
        is_kept = Handle.kept(self._job) is not None
        while True:
            standing = await self._server.standing(self._handle.prompt_id)
            if not isinstance(standing, Finished):
                return standing
            failure = of_entry(standing.entry)
            # The failure of a run that nobody has reported yet is this attempt's; one that was stopped is done again.
            if failure is None or (is_kept and failure.code != "interrupted"):
                return standing
            self._handle = self._handle.next()

    async def _submit(self) -> None:
        workflow = await with_files(self._payload, self._server, self._job)
        await self._job.save_handle(self._handle.value())
        try:
            taken = await _through(self._server.submit(workflow, self._handle.prompt_id))
        except AnswerLost as error:
            if not await self._has_arrived():
                told = f"the ComfyUI server gave no answer to the submission ({error}), and does not know the run"
                raise JobError(told, code="answer_lost") from error
            taken = self._handle.prompt_id
        except JobError as error:
            if error.code == "invalid_workflow":  # part of it may have been run: whoever revives the job begins anew
                await self._job.save_handle(self._handle.next().value())
            raise
        if taken != self._handle.prompt_id:
            self._handle = Handle(self._handle.job_id, self._handle.number, taken)
            await self._job.save_handle(self._handle.value())
        self._job.log.info("the run %s was submitted to %s", taken, place(self._server.url))

    async def _has_arrived(self) -> bool:
        """Look for a run whose submission got no answer, until it would be there."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _SETTLING
        while isinstance(await self._server.standing(self._handle.prompt_id), Unknown):
            if loop.time() > end:
                return False
            await asyncio.sleep(_LOOK_AGAIN)
        return True

    async def _follow(self, feed: Feed, first_look: float) -> Mapping[str, Any]:
        """Wait for the run's end, and give what the history says of it; `first_look` seconds are left to the socket."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + first_look
        while True:
            if loop.time() >= look_at:
                standing = await self._server.standing(self._handle.prompt_id)
                if (entry := self._seen(standing)) is not None:
                    return entry
                look_at = loop.time() + self._settings.poll_seconds
            message = await feed.next(self._handle.prompt_id, max(look_at - loop.time(), 0.0))
            if message is None or isinstance(message, Ended):
                look_at = loop.time()
            elif self._progress.hear(message):
                self._say(self._progress.note)

    def _seen(self, standing: Standing) -> Mapping[str, Any] | None:
        match standing:
            case Finished(entry):
                return entry
            case Waiting(before):
                self._job.progress(None, f"waiting behind {before} others" if before else "waiting")
            case Running():
                self._say(self._progress.note)
            case Unknown():
                raise lost(self._handle.prompt_id)
            case _:
                assert_never(standing)
        return None

    def _say(self, note: str) -> None:
        previews = f", {self._progress.previews} previews" if self._progress.previews else ""
        self._job.progress(_BEGUN + (_FETCHING - _BEGUN) * self._progress.fraction, note + previews)

    async def _call_off(self) -> None:
        """Take the run out of the queue or interrupt it; whoever revives the job begins another one."""
        prompt_id = self._handle.prompt_id
        try:
            async with asyncio.timeout(_WITHDRAWAL):
                withdrawn, _ = await asyncio.gather(
                    self._server.withdraw(prompt_id),
                    self._job.save_handle(self._handle.next().value()),
                    return_exceptions=True,
                )
        except TimeoutError:
            withdrawn = TimeoutError("no answer in time")
        if withdrawn is not None:
            self._job.log.warning("the run %s may go on at ComfyUI: %s", prompt_id, withdrawn)

    def _log_end(self, feed: Feed) -> None:
        if feed.breaks:
            self._job.log.info("the socket broke %d times; the history says how the run went on", feed.breaks)
        if self._progress.previews:
            self._job.log.info("%d previews came by; previews are not kept", self._progress.previews)

    async def _result(self, entry: Mapping[str, Any]) -> RunResult:
        """Read what the nodes of a run that is over gave."""
        failure = of_entry(entry)
        if failure is not None:
            await self._job.save_handle(self._handle.next().value())
            raise failure
        outputs = mapping(entry.get("outputs"))
        wanted = self._payload.outputs
        if missing := [node for node in wanted or () if not mapping(outputs.get(node))]:
            places = {f"/outputs/{(wanted or []).index(node)}": "the node gave nothing" for node in missing}
            told = f"the nodes {', '.join(missing)} gave nothing; name nodes that save or preview"
            raise JobError(told, retryable=False, code="no_output", errors=places)
        order = {node: number for number, node in enumerate(self._payload.workflow)}
        listed = sorted(references(outputs, wanted), key=lambda each: order.get(each.node, len(order)))
        self._job.progress(_FETCHING, f"fetching {len(listed)} files")
        include_data = self._payload.include_data
        return RunResult(
            prompt_id=self._handle.prompt_id,
            files=await fetch(self._server, listed, self._settings, self._job, include_data=include_data),
            values=values(outputs, wanted),
            cached=_cached(entry),
        )


def _cached(entry: Mapping[str, Any]) -> list[str]:
    """Read from the history which nodes were not performed."""
    for message in sequence(mapping(entry.get("status")).get("messages")):
        match message:
            case ["execution_cached", {"nodes": list(nodes)}]:
                return [node for node in nodes if isinstance(node, str)]
    return []


async def _through(submission: Any) -> str:
    """Wait for a submission; if the attempt is called off meanwhile, let it arrive, so that it can be withdrawn."""
    task = asyncio.ensure_future(submission)
    try:
        taken: str = await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_WITHDRAWAL / 2)
        task.cancel()
        with suppress(asyncio.CancelledError, JobError, AnswerLost):
            await task
        raise
    return taken
