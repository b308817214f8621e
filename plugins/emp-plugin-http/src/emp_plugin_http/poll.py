"""`http.poll`: work that a service does in its own time: submit it, keep its id, ask until it is done."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from emp_plugin_http.calls import Call, Headers, Method, Url
from emp_plugin_http.pointer import NOTHING, Pointer, as_word, find, read_json
from emp_plugin_http.received import RETRIED, Received
from emp_plugin_http.request import failure
from emp_plugin_http.settings import MIB
from emp_worker import JobContext, JobError

if TYPE_CHECKING:
    from emp_plugin_http.exchange import Exchange

_ANSWERS_WITHIN: Final = 1.5
"""Seconds in which the answer to a submission is waited for when the attempt must end; the worker waits for two."""
CALL_OFF_WITHIN: Final = 4.0
"""Seconds in which the service must take that its work is called off."""
_GONE: Final = frozenset({404, 410})


class Submission(Call):
    """The request that begins the work."""

    method: Method = Field(default=Method.POST, description="how it is made")


class Poll(BaseModel):
    """Work to submit to a service, and how to see what becomes of it. In URLs, `{id}` stands for the work's id."""

    model_config = ConfigDict(extra="forbid")

    submit: Submission = Field(description="the request that begins the work")
    id_pointer: Pointer = Field(default="/id", description="where the answer names the work's id, as a JSON pointer")
    status_url: Url = Field(description="where to ask how the work is, with {id} in it", pattern=r"\{id\}")
    headers: Headers = Field(default_factory=dict, description="header fields to send when asking")
    state_pointer: Pointer = Field(default="/status", description="where the status names the work's state")
    done: list[str] = Field(
        default=["done", "completed", "succeeded"], min_length=1, max_length=32, description="the states that mean done"
    )
    failed: list[str] = Field(
        default=["failed", "error", "cancelled"], max_length=32, description="the states that mean that it failed"
    )
    result_pointer: Pointer = Field(default="", description="what of the last status is the result; empty: all of it")
    error_pointer: Pointer = Field(default="/error", description="where a status says why the work failed")
    progress_pointer: Pointer | None = Field(
        default=None, description="where a status says how far the work is, as a number; null: nowhere"
    )
    progress_full: float = Field(default=1.0, gt=0, description="the number that means that all is done: 1, or 100")
    cancel: Call | None = Field(
        default=None,
        description="the request, with {id} in its URL, that calls the work off when the job is; null: none",
    )
    interval_seconds: float = Field(
        default=2.0, ge=0.05, le=3600, description="how often to ask; a Retry-After of the service wins"
    )
    patience_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="how long a service that does not answer is asked again"
    )
    timeout_seconds: float = Field(default=30.0, gt=0, le=600, description="the longest time of one exchange")


class Polled(BaseModel):
    """What became of the work."""

    id: str = Field(description="the id that the service gave it")
    state: str = Field(description="its last state")
    result: JsonValue = Field(description="what result_pointer leads to")
    taken_up: bool = Field(description="whether an attempt before had submitted it")


class Work:
    """One piece of work at the service, in one attempt."""

    def __init__(self, payload: Poll, job: JobContext) -> None:
        self._payload = payload
        self._job = job
        self._exchange: Exchange = job.resources
        self.id = ""
        self.taken_up = False

    async def find_or_submit(self) -> None:
        """Take up what an attempt before has submitted, or submit it."""
        handle = self._job.handle
        if isinstance(handle, dict) and isinstance(handle.get("id"), str):
            self.id, self.taken_up = handle["id"], True
            self._job.log.info("taking up %s, which an attempt before has submitted", self.id)
        else:
            await self._submit()

    async def _submit(self) -> None:
        sending = asyncio.create_task(self._send(self._payload.submit, key=self._job.job_id))
        try:
            received = await asyncio.shield(sending)
        except asyncio.CancelledError:
            # The service may have begun the work: with its id it can be called off, or left to the next attempt.
            await asyncio.wait({sending}, timeout=_ANSWERS_WITHIN)
            sending.cancel()
            with contextlib.suppress(JobError, asyncio.CancelledError):
                await self._take(await sending)
            raise
        await self._take(received)

    async def _take(self, received: Received) -> None:
        """Keep the id that the answer to a submission names."""
        if not 200 <= received.status <= 299:
            raise failure(received)
        value = find(read_json(received.data, "the service"), self._payload.id_pointer)
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value):
            # It was taken, so another attempt would begin it again.
            told = f"the answer to the submission has no id at {self._payload.id_pointer!r}"
            raise JobError(told, retryable=False, code="no_id")
        self.id, self.taken_up = str(value), False
        await self._job.save_handle({"id": self.id})
        self._job.log.info("submitted as %s", self.id)

    async def watch(self) -> Polled:
        """Ask until the work is done.

        Raises:
            JobError: `remote_failed`, which no other attempt would mend; or the service does not answer any more.
        """
        while True:
            received = await self._ask()
            if received.status in _GONE and self.taken_up:
                self._job.log.warning("the service does not know %s any more: it is submitted again", self.id)
                await self._job.save_handle(None)
                await self._submit()
                continue
            if not 200 <= received.status <= 299:
                error = failure(received, "the service, asked for the state,")
                error.retryable = error.retryable or received.status in _GONE  # it may not know it yet
                raise error
            if (polled := await self._polled(read_json(received.data, "the service"))) is not None:
                return polled
            await asyncio.sleep(self._wait(received))

    async def _polled(self, status: Any) -> Polled | None:
        """Give what a status says, if it is the last."""
        payload = self._payload
        state = find(status, payload.state_pointer)
        if state is NOTHING:
            raise JobError(f"the status has no state at {payload.state_pointer!r}", code="no_state")
        self._tell(status, as_word(state))
        if as_word(state) in payload.failed:
            await self._job.save_handle(None)  # whoever revives the job wants it done anew
            why = find(status, payload.error_pointer)
            told = f"the work failed ({as_word(state)})" + (
                "" if why in (NOTHING, None) else f": {as_word(why)[:2000]}"
            )
            raise JobError(told, retryable=False, code="remote_failed")
        if as_word(state) not in payload.done:
            return None
        result = find(status, payload.result_pointer)
        if result is NOTHING:
            told = f"the work is done, and its status has nothing at {payload.result_pointer!r}"
            raise JobError(told, retryable=False, code="no_result")
        return Polled(id=self.id, state=as_word(state), result=result, taken_up=self.taken_up)

    def _tell(self, status: Any, state: str) -> None:
        fraction: float | None = None
        if self._payload.progress_pointer is not None:
            value = find(status, self._payload.progress_pointer)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                fraction = value / self._payload.progress_full
        self._job.progress(fraction, state)

    async def _ask(self) -> Received:
        """Ask for the state; a service that does not answer, or not now, is asked again for a while."""
        call = Call(url=self._url(self._payload.status_url), headers=self._payload.headers)
        give_up_at = time.monotonic() + self._payload.patience_seconds
        while True:
            wait = self._payload.interval_seconds
            try:
                received = await self._send(call)
                if received.status not in RETRIED or time.monotonic() >= give_up_at:
                    return received
                wait = self._wait(received)
                self._job.progress(None, f"the service answered {received.status}")
            except JobError as error:
                if not error.retryable or time.monotonic() >= give_up_at:
                    raise
                self._job.progress(None, str(error))
            await asyncio.sleep(max(0.0, min(wait, give_up_at - time.monotonic())))

    async def call_off(self) -> None:
        """Tell the service that nobody wants the work any more, if it can be told so."""
        if self._payload.cancel is None or not self.id or self._job.handed_over:
            return
        call = self._payload.cancel.model_copy(update={"url": self._url(self._payload.cancel.url)})
        with contextlib.suppress(JobError, TimeoutError):
            async with asyncio.timeout(CALL_OFF_WITHIN):
                received = await self._send(call)
                self._job.log.info("called off %s: %d", self.id, received.status)
                await self._job.save_handle(None)

    async def _send(self, call: Call, key: str | None = None) -> Received:
        limit = min(8 * MIB, self._exchange.settings.response_limit_bytes)
        return await self._exchange.send(call, limit=limit, seconds=self._payload.timeout_seconds, key=key)

    def _url(self, template: str) -> str:
        return template.replace("{id}", quote(self.id, safe=""))

    def _wait(self, received: Received) -> float:
        wished = received.retry_after
        return self._payload.interval_seconds if wished is None else wished


async def poll(payload: Poll, job: JobContext) -> Polled:
    """Submit work to a service and wait for its end; after a worker's death it is taken up, not submitted again."""
    work = Work(payload, job)
    try:
        await work.find_or_submit()
        return await work.watch()
    except asyncio.CancelledError:
        await work.call_off()
        raise
