"""What a child process has to say to its worker, sent so that no handler waits for the worker."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from itertools import count
from typing import Final

from emp_worker.failures import HandleNotSaved
from emp_worker.handles import resolve
from emp_worker.isolation.frames import FromChild, LogLine, Progress, Save, Saved, packed

_PROGRESS_EVERY: Final = 0.05
_CHECK_EVERY: Final = 0.5


class Outbox:
    """Frames on their way. Of a job's progress only the newest is kept, and twenty a second are sent.

    What the connection takes at once is sent by whoever says it: should the handler crash the process next, or hold the
    interpreter for ever, it has been said. What must wait is sent by `run`, in a thread, so that no handler waits.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inode = os.fstat(connection.fileno()).st_ino
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._is_sending = False
        self._progress: Progress | None = None
        self._next_progress_at = 0.0
        self._serials = count(1)
        self._saving: dict[int, Future[None]] = {}

    def send(self, frame: FromChild, body: bytes = b"") -> None:
        """Send a frame after everything that was said before it."""
        data = packed(frame, body)
        with self._changed:
            self._post_progress()
            self._post(data)

    def report(self, number: int, fraction: float | None, message: str | None) -> None:
        """Take the progress of an attempt; what is None leaves what was."""
        with self._changed:
            last = self._progress
            if last is not None and last.number == number:
                fraction = last.fraction if fraction is None else fraction
                message = last.message if message is None else message
            self._progress = Progress(number, fraction, message)
            if time.monotonic() >= self._next_progress_at:
                self._post_progress()
            else:
                self._changed.notify()

    def save(self, number: int, handle: bytes) -> Future[None]:
        """Send an attempt's handle; the future is set when the worker says that it is stored."""
        serial = next(self._serials)
        stored: Future[None] = Future()
        self._saving[serial] = stored
        self.send(Save(number, serial), handle)
        return stored

    def saved(self, answer: Saved) -> None:
        """Take what became of a handle."""
        if (stored := self._saving.pop(answer.serial, None)) is not None:
            resolve(stored, HandleNotSaved(answer.why) if answer.why else None)

    def run(self) -> None:
        """Send what had to wait, until the connection is of no use any more.

        Raises:
            OSError: the worker has gone, or a handler has closed what it did not open.
        """
        while True:
            with self._changed:
                self._is_sending = False
                while not self._waiting:
                    self._await_more()
                data = self._waiting.popleft()
                self._is_sending = True
            self._connection.sendall(data)

    def _await_more(self) -> None:
        left = self._next_progress_at - time.monotonic()
        if self._progress is None:
            if not self._changed.wait(_CHECK_EVERY):
                self._check()
        elif left > 0:
            self._changed.wait(left)
        else:
            self._post_progress()

    def _check(self) -> None:
        """See that the connection is still there: one that is closed under the thread that reads goes unnoticed."""
        if os.fstat(self._connection.fileno()).st_ino != self._inode:
            raise ConnectionAbortedError("the handler has closed it")

    def _post_progress(self) -> None:
        if self._progress is not None:
            data = packed(self._progress)
            self._progress = None
            self._next_progress_at = time.monotonic() + _PROGRESS_EVERY
            self._post(data)

    def _post(self, data: bytes) -> None:
        """Send as much as goes without waiting, and leave the rest to the thread."""
        if not self._waiting and not self._is_sending:
            with contextlib.suppress(OSError):  # full, or the worker has gone
                data = data[self._connection.send(data, socket.MSG_DONTWAIT) :]
        if data:
            self._waiting.append(data)
            self._changed.notify()


class JobReporter:
    """The reporter of one attempt in a child."""

    def __init__(self, number: int, outbox: Outbox) -> None:
        self._number = number
        self._outbox = outbox

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Take a new progress."""
        self._outbox.report(self._number, fraction, message)

    def log(self, line: bytes) -> None:
        """Take one log line."""
        self._outbox.send(LogLine(self._number), line)

    def save(self, handle: bytes) -> Future[None]:
        """Take a handle."""
        return self._outbox.save(self._number, handle)
