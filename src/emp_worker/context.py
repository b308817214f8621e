"""What a handler knows of its job, and how it speaks to the worker."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from emp_core.ids import JobId, WorkerId
from emp_worker.failures import JobCancelled
from emp_worker.handles import written
from emp_worker.joblog import job_logger
from emp_worker.patience import CALLED_OFF, Patience

PROGRESS_MESSAGE_LIMIT: Final = 256
_LOOK_EVERY: Final = 0.25
_CALLED_OFF_FOR: Final = 5.0
"""Seconds that a sync handler which should stop may still wait for its handle to be stored."""


class Reporter(Protocol):
    """Takes what one attempt says: the worker's flusher, a child's pipe, a test's list. Any thread; never blocks."""

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Take a new progress; None leaves what was."""

    def log(self, line: bytes) -> None:
        """Take one log line, a JSON object."""

    def save(self, handle: bytes) -> Future[None]:
        """Take a handle, as JSON; gives a future that is set when it is stored."""


class _Stored:
    """What is done already, for a sync handler's `save_handle`; awaiting it goes on at once."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


@dataclass(slots=True, eq=False, kw_only=True)
class JobContext:
    """One attempt, as its handler sees it.

    `deadline` (UTC) is when its time limit ends it; `resources` is the value of the job type's lifespan;
    `saved` (the handle as it is stored), `trace` (the trace context of the attempt) and `patience` are for the worker.
    """

    job_id: JobId
    job_type: str
    attempt: int
    max_attempts: int
    priority: int
    worker_id: WorkerId
    deadline: datetime | None
    reporter: Reporter = field(repr=False)
    resources: Any = field(default=None, repr=False)
    saved: bytes = field(default=b"", repr=False)
    trace: str = field(default="", repr=False)
    patience: Patience = field(default=CALLED_OFF, init=False, repr=False)
    _cancelled: bool = field(default=False, init=False)
    _handed_over: bool = field(default=False, init=False)
    _log: logging.Logger | None = field(default=None, init=False, repr=False)

    def progress(self, fraction: float | None, message: str | None = None) -> None:
        """Say how much is done (0.0 to 1.0; beyond is cut) and, if you like, what is being done (256 characters).

        Never blocks, and works from any thread. None as the fraction changes the message only.

        Raises:
            ValueError: the fraction is not a number (NaN).
        """
        if fraction is not None:
            fraction = float(fraction)
            if math.isnan(fraction):
                raise ValueError("progress takes a fraction from 0.0 to 1.0, not NaN")
            fraction = min(max(fraction, 0.0), 1.0)
        if message is not None:
            # A lone surrogate has no UTF-8, and so no place in a message.
            message = str(message)[:PROGRESS_MESSAGE_LIMIT].encode("utf-8", "replace").decode()
        self.reporter.progress(fraction, message)

    @property
    def log(self) -> logging.Logger:
        """A standard logger whose lines are kept with the job: 1,000 of them and 256 KiB an attempt."""
        if self._log is None:
            self._log = job_logger(self.job_id, self.attempt, self.reporter.log)
        return self._log

    @property
    def handle(self) -> Any:
        """What `save_handle` has kept, in this attempt or one before, as a new JSON value each time; None at first.

        Raises:
            ValueError: the record in the store is damaged.
        """
        return json.loads(self.saved) if self.saved else None

    def save_handle(self, value: Any) -> Awaitable[None]:
        """Keep a small JSON value (4 KiB) with the job for later attempts: the id of work begun elsewhere.

        In an async handler, await it; in a sync one, the call itself returns when the value is stored. From then on
        `handle` of every attempt of the job is this value, whatever becomes of the worker, as long as the store keeps
        what it has answered. None takes it away. If the store is away it is waited for. Works from any thread.

        Raises:
            TypeError, ValueError: the value has no JSON, or more than 4 KiB of it.
            JobError: the claim of this attempt is over, so that nothing was kept. Let it end the attempt.
            JobCancelled: the sync handler should stop, and the store did not answer within five seconds.
        """
        text = written(value)
        stored = self.reporter.save(text)  # at once: a handler that is cancelled now has kept it all the same
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._wait_for(stored)
            self.saved = text
            return _Stored()
        return self._until(stored, text)

    async def _until(self, stored: Future[None], text: bytes) -> None:
        await asyncio.wrap_future(stored)
        self.saved = text

    def _wait_for(self, stored: Future[None]) -> None:
        """Block until it is stored; looks up now and then, since nobody can cancel a thread."""
        left = _CALLED_OFF_FOR
        while True:
            try:
                return stored.result(_LOOK_EVERY)
            except TimeoutError:
                if stored.done():
                    continue
            if self._cancelled:
                left -= _LOOK_EVERY
                if left <= 0:
                    raise JobCancelled(f"job {self.job_id} was called off before its handle was stored")

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: the job was called off, its time is over, or the worker must end."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Stop the handler here if it should stop; call it between the steps of long work.

        Raises:
            JobCancelled: it should stop.
        """
        if self._cancelled:
            raise JobCancelled(f"job {self.job_id} was called off")

    @property
    def handed_over(self) -> bool:
        """Whether the job goes on although this attempt should stop: the worker must end, or others have the job.

        What the handler has begun elsewhere is then left alone, for the attempt that follows.
        """
        return self._handed_over

    def request_cancel(self, patience: Patience = CALLED_OFF, *, handed_over: bool = False) -> None:
        """Ask the handler to stop; the worker calls it. `patience` is what a child process gets then."""
        self.patience = patience
        self._handed_over = self._handed_over or handed_over
        self._cancelled = True
