"""Perform attempts in a child process, one after the other, and leave the process as each of them found it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Final, assert_never

from emp_core import logs
from emp_core.ids import JobId, WorkerId
from emp_core.tracing import Tracer
from emp_worker.context import JobContext
from emp_worker.error_json import error_json
from emp_worker.failures import JobCancelled, JobError, PayloadRefused, ResultRefused, ResultTooLarge
from emp_worker.isolation import Runners
from emp_worker.isolation.frames import (
    Begun,
    Cancel,
    Condition,
    Perform,
    Raised,
    RaisedKind,
    Returned,
    Saved,
    Start,
    Stop,
    ToChild,
)
from emp_worker.isolation.leftovers import descendants, kill_new
from emp_worker.isolation.memory import held_at_most, held_now, limited, mebibytes
from emp_worker.isolation.outbox import JobReporter, Outbox
from emp_worker.isolation.surroundings import Surroundings
from emp_worker.jobtypes import JobType

THREADS_LEFT: Final = 32
"""So many threads may handlers leave behind; with more the child is not used again."""


class Performer:
    """Performs what the worker orders. `heard` is for the thread that reads, all else for the loop."""

    def __init__(self, types: Mapping[str, JobType], runners: Runners, outbox: Outbox, tracer: Tracer) -> None:
        self._types = types
        self._runners = runners
        self._outbox = outbox
        self._tracer = tracer
        self._loop = asyncio.get_running_loop()
        self._orders: asyncio.Queue[tuple[Perform, bytes] | None] = asyncio.Queue()
        self._context: JobContext | None = None
        self._attempt: asyncio.Task[bytes] | None = None
        self._number = 0
        self._cancel_asked = Cancel(0, handed_over=False)
        self._surroundings = Surroundings()
        self._processes = descendants()
        self._threads = threading.active_count()

    def heard(self, frame: ToChild, body: bytes) -> None:
        """Take what the worker says. A handler that blocks the loop sees its flag all the same."""
        match frame:
            case Perform():
                self._loop.call_soon_threadsafe(self._orders.put_nowait, (frame, body))
            case Cancel():
                # What the handler has traced until now may be lost with this process.
                self._tracer.flush_soon()
                self._cancel_asked = frame
                if self._context is not None and self._number == frame.number:
                    self._context.request_cancel(handed_over=frame.handed_over)
                self._loop.call_soon_threadsafe(self._cancel, frame)
            case Saved():
                self._outbox.saved(frame)
            case Stop():
                self._loop.call_soon_threadsafe(self._orders.put_nowait, None)
            case Start():
                raise ValueError("a child is started once")
            case _:
                assert_never(frame)

    async def run(self) -> None:
        """Perform what comes until told to stop."""
        while (order := await self._orders.get()) is not None:
            await self._perform(*order)

    def _cancel(self, asked: Cancel) -> None:
        if self._number == asked.number and self._attempt is not None and self._context is not None:
            self._context.request_cancel(handed_over=asked.handed_over)
            self._attempt.cancel()

    async def _perform(self, order: Perform, payload: bytes) -> None:
        self._outbox.send(Begun(order.number))
        job_type = self._types[order.job_type]
        logs.concern(job_id=order.job_id, job_type=order.job_type, worker_id=order.worker_id, attempt=order.attempt)
        self._context = context = _context(order, self._outbox)
        self._attempt = asyncio.create_task(self._run(job_type, payload, context, order.trace))
        self._number = order.number
        if self._cancel_asked.number == order.number:  # it came while the attempt was on its way to this place
            self._cancel(self._cancel_asked)
        try:
            result = await self._attempt
        except (Exception, asyncio.CancelledError, JobCancelled) as error:  # noqa: BLE001 - the attempt's error
            limit = job_type.memory_limit if _is_for_memory(error) else None
            spoiled = self._clean() if limit is None else "its memory limit was met"
            self._outbox.send(_raised(order.number, error, Condition(held_now(), spoiled)), _error(error, limit))
        else:
            self._outbox.send(Returned(order.number, Condition(held_now(), self._clean())), result)
        self._attempt = self._context = None

    async def _run(self, job_type: JobType, payload: bytes, context: JobContext, trace: str) -> bytes:
        await self._runners.warm(job_type)
        self._tracer.enter(trace)  # the attempt's own task, so that the next one does not find it
        # What a lifespan has started belongs to the process, not to the attempt.
        self._processes = descendants()
        with limited(job_type.memory_limit):
            return await self._runners.run(job_type, payload, context)

    def _clean(self) -> str:
        """End what the handler has left behind; gives why that cannot be done, or nothing."""
        if not kill_new(self._processes):
            return "processes that a handler has started cannot be ended"
        if (threads := threading.active_count() - self._threads) > THREADS_LEFT:
            return f"{threads} threads were left behind"
        return self._surroundings.restore()


def _context(order: Perform, outbox: Outbox) -> JobContext:
    return JobContext(
        job_id=JobId(order.job_id),
        job_type=order.job_type,
        attempt=order.attempt,
        max_attempts=order.max_attempts,
        priority=order.priority,
        worker_id=WorkerId(order.worker_id),
        deadline=None if order.deadline is None else datetime.fromisoformat(order.deadline),
        reporter=JobReporter(order.number, outbox),
        saved=order.handle.encode(),
    )


def _raised(number: int, error: BaseException, condition: Condition) -> Raised:
    """Say what the worker must know of an error to name the attempt's outcome."""
    if not isinstance(error, JobError):
        return Raised(number, _kind(error), condition)
    wish = None if error.retry_after is None else error.retry_after.total_seconds()
    return Raised(number, "error", condition, bool(error.retryable), wish)


def _kind(error: BaseException) -> RaisedKind:
    match error:
        case PayloadRefused():
            return "payload_refused"
        case ResultRefused():
            return "result_refused"
        case ResultTooLarge():
            return "result_too_large"
        case JobCancelled() | asyncio.CancelledError():
            return "cancelled"
        case _:
            return "error"


def _is_for_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it followed from, is that memory was refused."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _error(error: BaseException, memory_limit: int | None) -> bytes:
    """Write an error as it is kept with the job; one for want of memory says which limit was met."""
    if memory_limit is None:
        return error_json(error)
    told = f"the attempt met its memory_limit of {mebibytes(memory_limit)}; it held {mebibytes(held_at_most())} at most"
    return error_json(error, kind="MemoryLimitMet", message=told)
