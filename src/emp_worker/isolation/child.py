"""A child process as its worker sees it: an attempt goes out to it, and a result, an error or its end comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Self, assert_never

import structlog

from emp_core.errors import PayloadFault
from emp_core.jobs import HANDLE_LIMIT
from emp_worker.context import JobContext
from emp_worker.failures import (
    ChildDied,
    ChildGone,
    ChildNotReady,
    JobCancelled,
    PayloadRefused,
    RaisedInChild,
    ResultRefused,
    ResultTooLarge,
)
from emp_worker.isolation.frames import (
    Begun,
    Cancel,
    Condition,
    FrameRefused,
    LogLine,
    Perform,
    Progress,
    Raised,
    Ready,
    Returned,
    Save,
    Saved,
    Start,
    Stop,
    packed,
    read_from_child,
)
from emp_worker.isolation.memory import mebibytes
from emp_worker.isolation.output import KEPT_LINES
from emp_worker.isolation.spawned import End, Spawned
from emp_worker.jobtypes import JobType

START_WITHIN = 60.0
"""Seconds that a new child gets to load the plugins."""
STOP_WITHIN = 5.0
"""Seconds that an idle child gets to exit its lifespans."""
_LAST_LINE_LIMIT = 300
_EOF_WITHIN = 0.2

_log = structlog.get_logger("emp.worker")


class Child:
    """A warm child process. `jobs`, `seen` (job types), `memory` and `spoiled` say what it has been through."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spawned: Spawned) -> None:
        self.started_at = time.monotonic()
        self.jobs = 0
        self.seen: set[str] = set()
        self.memory = 0
        self.memory_when_warm = 0
        self.spoiled = ""
        self._types: dict[str, str] = {}
        self._last_lines: deque[str | bytes] = deque(maxlen=KEPT_LINES)
        self._reader = reader
        self._writer = writer
        self._spawned = spawned
        self.ended.add_done_callback(self._hang_up)

    @classmethod
    async def spawn(cls) -> Self:
        """Start a process and connect to it; OSError if there can be none."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            # -P: the working folder is no place to import from.
            program = [sys.executable, "-P", "-m", "emp_worker.isolation_child", str(theirs.fileno())]
            try:
                return cls(reader, writer, Spawned(program, (theirs.fileno(),)))
            except OSError:
                writer.close()
                raise

    async def start(self, start: Start) -> Self:
        """Wait until the child has loaded its plugins. Whatever ends the wait ends the child.

        Raises:
            ChildNotReady: it ended before, or takes too long.
        """
        try:
            async with asyncio.timeout(START_WITHIN):
                self._types = dict((await self._greet(start)).types)
        except TimeoutError:
            await self.kill()
            raise ChildNotReady(f"the child process was not ready within {START_WITHIN:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, FrameRefused):
            end = await self.kill()
            raise ChildNotReady(f"the child process {end} before it was ready", output=self._told()) from None
        except BaseException:
            self._spawned.kill()
            raise
        _log.info("child_started", child=self.pid)
        return self

    async def _greet(self, start: Start) -> Ready:
        await self._spawned.listen(self)
        self._writer.write(packed(start))
        frame, _ = await read_from_child(self._reader)
        if not isinstance(frame, Ready):
            raise FrameRefused("something else than that it is ready")
        return frame

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._spawned.pid

    @property
    def ended(self) -> asyncio.Future[End]:
        """Is set when nothing is left of the child and its group."""
        return self._spawned.ended

    def is_over(self) -> bool:
        """Tell whether the child has ended."""
        return self._spawned.is_over()

    def serves(self, job_type: JobType) -> bool:
        """Tell whether the child knows a job type as the worker does: a plugin may have been changed or removed."""
        return self._types.get(job_type.name) == job_type.digest

    async def run(self, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Perform one attempt and give its result as JSON; raises what the steps and the handler raise, or ChildDied.

        ChildGone says that the attempt has not begun: the child was gone already.

        Cancelling the call ends it within the context's patience, whatever the handler does: it is told, then the child
        gets SIGTERM, then its process group is killed.
        """
        self.jobs += 1
        self.spoiled = "its attempt was left"  # until it has ended
        talk = asyncio.create_task(self._talk(self.jobs, job_type, payload, context))
        ending: asyncio.Task[None] | None = None
        while not talk.done():
            try:
                await asyncio.wait((talk,))
            except asyncio.CancelledError:
                if ending is None:
                    context.request_cancel(context.patience)
                    ending = asyncio.create_task(self._end(context))
        if ending is None:
            return talk.result()
        ending.cancel()
        if (error := talk.exception()) is not None:
            raise asyncio.CancelledError from error
        return talk.result()

    async def stop(self) -> None:
        """Let an idle child exit its lifespans and end; after five seconds it is killed."""
        if not self.is_over():
            self._writer.write(packed(Stop()))
            await asyncio.wait((self.ended,), timeout=STOP_WITHIN)
        await self.kill()

    async def kill(self) -> End:
        """Kill the child and its group, and wait until nothing is left and what it wrote is read."""
        self._spawned.kill()
        await asyncio.wait((self.ended,))
        await asyncio.wait((self._spawned.silent,), timeout=_EOF_WITHIN)
        self._spawned.stop_listening()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        return self.ended.result()

    async def _end(self, context: JobContext) -> None:
        """Tell the handler to end, then make it end."""
        told_at = time.monotonic()
        self._writer.write(packed(Cancel(self.jobs, context.handed_over)))
        await asyncio.sleep(context.patience.terminate)
        self._spawned.terminate()
        await asyncio.sleep(told_at + context.patience.kill - time.monotonic())
        self._spawned.kill()

    async def _talk(self, number: int, job_type: JobType, payload: bytes, context: JobContext) -> bytes:
        """Send the attempt and take what comes, up to its end."""
        has_begun = False
        try:
            self._writer.write(packed(_perform(number, job_type, context), payload))
            await self._writer.drain()
            while True:
                frame, body = await read_from_child(self._reader)
                if isinstance(frame, Ready) or frame.number != number:
                    continue  # a thread that an earlier handler left behind still talks
                match frame:
                    case Begun():
                        has_begun = True
                    case Progress():
                        context.progress(frame.fraction, frame.message)
                    case LogLine():
                        self._last_lines.append(body)
                        context.reporter.log(body)
                    case Save():
                        self._save(frame, body, context)
                    case Returned():
                        self._after(job_type, frame.condition)
                        return body
                    case Raised():
                        self._after(job_type, frame.condition)
                        raise _raised(frame, body)
                    case _:
                        assert_never(frame)
        except (asyncio.IncompleteReadError, ConnectionError, FrameRefused) as error:
            # A child that closed its connection lives, but nothing can be learned from it any more.
            end = await self.kill()
            if not has_begun:
                raise ChildGone(f"the child process {end} before the attempt began", output=self._told()) from error
            raise self._died(end, job_type) from error

    def _save(self, frame: Save, handle: bytes, context: JobContext) -> None:
        """Keep a handle and tell the child when it is stored, or why it is not."""
        if len(handle) > HANDLE_LIMIT:
            raise FrameRefused(f"a handle of {len(handle):,} bytes")
        loop = asyncio.get_running_loop()

        def told(stored: Future[None]) -> None:
            why = "" if stored.exception() is None else str(stored.exception())
            loop.call_soon_threadsafe(self._writer.write, packed(Saved(frame.number, frame.serial, why)))

        context.reporter.save(handle).add_done_callback(told)

    def _after(self, job_type: JobType, condition: Condition) -> None:
        if job_type.name not in self.seen:  # what its lifespan loaded is no leak
            self.seen.add(job_type.name)
            self.memory_when_warm = condition.memory
        self.memory = condition.memory
        self.spoiled = condition.spoiled

    def _died(self, end: End, job_type: JobType) -> ChildDied:
        told = f"the child process of the handler {end}"
        if job_type.memory_limit is not None:
            told += f"; its memory_limit is {mebibytes(job_type.memory_limit)}"
        return ChildDied(told, output=self._told())

    def printed(self, line: str) -> None:
        """Log a line that the child, or a process of its handler, has printed."""
        self._last_lines.append(line)
        _log.info("child_said", child=self.pid, line=line)

    def kept(self, lines: Sequence[str]) -> None:
        """Keep lines that are not logged for the error, should the child end now."""
        self._last_lines.extend(lines)

    def dropped(self, lines: int, size: int) -> None:
        """Log how much was printed too fast to be logged."""
        _log.warning("child_output_dropped", child=self.pid, lines=lines, bytes=size)

    def _told(self) -> list[str]:
        """Give the last lines that were printed or logged."""
        texts = [line if isinstance(line, str) else _message(line) for line in self._last_lines]
        return [text[:_LAST_LINE_LIMIT] for text in texts]

    def _hang_up(self, _: asyncio.Future[End]) -> None:
        """Close what connects us: a process that left the group may hold the other ends open."""
        asyncio.get_running_loop().call_later(_EOF_WITHIN, self._writer.transport.abort)
        asyncio.get_running_loop().call_later(_EOF_WITHIN, self._spawned.stop_listening)


def _perform(number: int, job_type: JobType, context: JobContext) -> Perform:
    return Perform(
        number=number,
        job_id=context.job_id,
        job_type=job_type.name,
        attempt=context.attempt,
        max_attempts=context.max_attempts,
        priority=context.priority,
        worker_id=context.worker_id,
        deadline=None if context.deadline is None else context.deadline.isoformat(),
        memory_limit=job_type.memory_limit,
        handle=context.saved.decode(),
        trace=context.trace,
    )


def _raised(frame: Raised, body: bytes) -> BaseException:
    """Make an error of what the child says that its attempt raised; no class is looked up by a name from there.

    Raises:
        FrameRefused: it is no error.
    """
    try:
        error = json.loads(body)
        message = str(error["message"])
        faults = [PayloadFault(str(fault["pointer"]), str(fault["message"])) for fault in error.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise FrameRefused("an error that cannot be read") from fault
    match frame.kind:
        case "payload_refused":
            return PayloadRefused(message, faults=faults)
        case "result_refused":
            return ResultRefused(message, faults=faults)
        case "result_too_large":
            return ResultTooLarge(message)
        case "cancelled":
            return JobCancelled(message)
        case "error":
            return RaisedInChild(message, error, retryable=frame.retryable, retry_after=frame.retry_after)
        case _:
            assert_never(frame.kind)


def _message(line: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(line)["message"])
    return line.decode("utf-8", "backslashreplace")
