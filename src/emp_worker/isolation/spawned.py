"""A child process as the operating system sees it: started, signalled, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emp_core.tied import start_tied
from emp_worker.isolation.memory import MAXRSS_UNIT, mebibytes
from emp_worker.isolation.output import Listener, Output


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: its exit code (the signal's number below zero) and the most memory that it held, in bytes.

    The code is None if somebody else in this process took the notice of its end.
    """

    code: int | None
    peak: int

    def __str__(self) -> str:
        if self.code is None:
            return "ended"
        if self.code >= 0:
            return f"ended with exit code {self.code} after {mebibytes(self.peak)}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"was killed by {name} after {mebibytes(self.peak)}"


class Spawned:
    """A process in a session and process group of its own that ends with this one; its group ends with it.

    `ended` is set with its end, when nothing is left of its group, `silent` when no more of what it writes will come.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, command: Sequence[str], keep_open: Sequence[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[End] = self._loop.create_future()
        self.silent: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.ReadTransport | None = None
        read_end, write_end = os.pipe()
        self._output = os.fdopen(read_end, "rb", buffering=0)
        with os.fdopen(write_end, "wb") as output:
            self._process = start_tied(command, output=output, keep_open=keep_open)
        self.pid = self._process.pid
        # From the end until its notice is taken the number is still the process's own, so signals hit nobody else.
        self._signalling = threading.Lock()
        threading.Thread(target=self._wait, name=f"emp-child-{self.pid}", daemon=True).start()

    async def listen(self, listener: Listener) -> None:
        """Read the lines that the process and its subprocesses write to standard output and error."""
        self._transport, _ = await self._loop.connect_read_pipe(lambda: Output(listener, self.silent), self._output)

    def stop_listening(self) -> None:
        """Read no more, whoever may still write."""
        if self._transport is not None:
            self._transport.close()
        else:
            self._output.close()

    def terminate(self) -> None:
        """Ask the process to end: SIGTERM, which ends it unless its handler says otherwise."""
        self._signal(os.kill, signal.SIGTERM)
        self._signal(os.kill, signal.SIGCONT)  # a stopped process acts on a signal only when it goes on

    def kill(self) -> None:
        """Kill the process and its group."""
        self._signal(os.killpg, signal.SIGKILL)

    def is_over(self) -> bool:
        """Ask the system whether the process has ended, which may be ahead of `ended`."""
        with self._signalling, contextlib.suppress(ChildProcessError):
            if sys.platform != "darwin" and self._process.returncode is None:
                return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._process.returncode is not None

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._signalling:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(self.pid, number)

    def _wait(self) -> None:
        """Wait for the end in a thread, kill what is left of the group, and take notice."""
        try:
            if sys.platform != "darwin":
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                self.kill()
                with self._signalling:
                    end = self._take_notice()
            else:
                end = self._take_notice()
        except ChildProcessError:  # a handler in this process has waited for any child
            self._process.returncode = 0
            end = End(None, 0)
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody asks any more
            self._loop.call_soon_threadsafe(self._set_ended, end)

    def _take_notice(self) -> End:
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return End(self._process.returncode, usage.ru_maxrss * MAXRSS_UNIT)

    def _set_ended(self, end: End) -> None:
        if not self.ended.done():
            self.ended.set_result(end)
