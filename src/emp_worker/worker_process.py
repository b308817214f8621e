"""One worker process as its supervisor sees it: started, heard, told to stop, and seen to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

import structlog

from emp_core.ids import WorkerId
from emp_core.setting_names import without_credentials
from emp_worker.last_words import LastWords
from emp_worker.settings import WorkerSettings
from emp_worker.watchdog import SILENCE_LIMIT

ALIVE_FOR = 15.0
"""Seconds that a sign of life counts: a lease."""
SILENT_PATIENCE = 1.0
WATCH_EVERY = 2.5
"""Seconds between two looks at the beats of a process."""
LOOKS_UNTIL_FROZEN = 6
"""Looks without a beat after which a process is killed: together a lease, so its jobs are lost by then anyway."""
_GONE_WITHIN = 2.0
"""Seconds after which a process that was killed for being frozen is succeeded although it has not ended."""
DRAIN, HURRY = "drain\n", "hurry\n"
"""What a worker process is told on standard input: to stop within its grace, and that this is over."""
LEFT_WORK = 75
"""The exit code of a worker process that stopped although the store does not have all that was done (EX_TEMPFAIL)."""
_READ_OUT = 0.5
_END_AT_LEAST_WITHIN = 25.0
"""Seconds beside the grace that a stop may take: to write outcomes, leave lifespans, give the lease back."""
_HURRY_WITHIN = 5.0

_log = structlog.get_logger("emp.supervisor")


class WorkerProcess:
    """A process that runs `emp_worker.process`. `retiring` is set when it wants a successor; times are monotonic.

    `has_loaded_all` says that it has served, with every plugin that there is; `is_unfit` that it cannot work on the
    store, nor could a successor.
    """

    def __init__(self, number: int, settings: WorkerSettings) -> None:
        self.number = number
        self.worker_id: WorkerId | None = None
        self.has_loaded_all = False
        self.started_at = time.monotonic()
        self.retiring = asyncio.Event()
        self.is_unfit = False
        self._settings = settings
        self._alive_at: float | None = None
        self._looks_without_beat: int | None = None
        self._words = LastWords()
        self._killed_for: str | None = None
        self._is_draining = False
        self._is_cut_off = False
        self._timers: list[asyncio.TimerHandle] = []
        self._silence: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process and give it its settings."""
        read_end, write_end = os.pipe()
        # A group of its own: Ctrl-C on a terminal reaches the supervisor alone, which passes it on once.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working folder is no place to import from
            "-m",
            "emp_worker.process",
            env=without_credentials(os.environ),  # it gets its settings on standard input
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(write_end,),
            process_group=0,
        )
        os.close(write_end)
        self._reader = asyncio.create_task(self._read(read_end))
        settings = self._settings.model_dump(mode="json")
        line = json.dumps({"settings": settings, "report_to": write_end})
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")

    async def wait(self) -> int:
        """Wait for its end and give its exit code; what it reported is read then, and its process group has ended."""
        if self._process is None or self._reader is None:
            raise RuntimeError("a process has to be started before it can end")
        code = await self._process.wait()
        # What handlers have started and left behind. While any of it lives, the group's number is given to nobody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # Its end of the pipe may live on in a child that a handler left behind.
        await asyncio.wait({self._reader}, timeout=_READ_OUT)
        self._reader.cancel()
        for timer in (*self._timers, *([self._silence] if self._silence else [])):
            timer.cancel()
        return code

    def is_alive(self) -> bool:
        """Tell whether it has claimed or renewed within the last lease."""
        return self._alive_at is not None and time.monotonic() - self._alive_at < ALIVE_FOR

    def look(self) -> None:
        """Count that `WATCH_EVERY` has passed, and kill the process if it has not beaten for a lease.

        It was stopped, or waits in the kernel. One that has not begun to beat loads its plugins, one that says that no
        more beats come stops.
        """
        if self._looks_without_beat is None:
            return
        self._looks_without_beat += 1
        if self._looks_without_beat > LOOKS_UNTIL_FROZEN:
            self._looks_without_beat = None
            seconds = LOOKS_UNTIL_FROZEN * WATCH_EVERY
            _log.error("worker_frozen", process=self.number, worker_id=self.worker_id, seconds=seconds)
            self.kill(f"it was frozen: it showed no sign of life for {seconds:g} s")
            self._later(_GONE_WITHIN, self.retiring.set)

    def drain(self) -> None:
        """Tell it to stop well; one whose loop does not hear it within the grace, or that takes ages, is killed."""
        self._tell(DRAIN)
        grace = self._settings.grace.total_seconds()
        self._later(grace + _HURRY_WITHIN, self._kill_deaf)
        self._later(2 * grace + _END_AT_LEAST_WITHIN, lambda: self.kill("it did not end within its grace"))

    def hurry(self) -> None:
        """Tell it to stop now; what is left of it in a few seconds is killed."""
        self._tell(HURRY)
        self._later(_HURRY_WITHIN, lambda: self.kill("it did not end at once"))

    def kill(self, why: str) -> None:
        """End it, and remember why."""
        if self._killed_for is None:
            self._killed_for = why
        self._send(signal.SIGKILL)

    def why_ended(self, code: int) -> str:
        """Say how it died, for the log and for the error of the jobs that it held."""
        culprit = self._words.culprit()
        where = f" in {culprit}" if culprit else ""
        if self._killed_for is not None:
            return f"ended by its supervisor: {self._killed_for}{where}"
        ended = f"exit code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        fatal = f" ({self._words.fatal}{where})" if self._words.fatal else ""
        return f"{ended}{fatal}"

    def has_left_work(self, code: int) -> bool:
        """Return whether the store may lack what the process has done, which ended by itself with this exit code."""
        return self.worker_id is not None and (code > 0 or self._is_cut_off)

    def last_words(self) -> str:
        """Give the stacks that it wrote before its end; empty if it did not."""
        return self._words.text()

    async def _read(self, read_end: int) -> None:
        """Take what the process reports, until it ends."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
        )
        with contextlib.closing(transport):
            while line := await reader.readline():
                if line.startswith(b"{"):
                    self._hear(json.loads(line))
                elif self._words.take(line.decode(errors="replace").rstrip("\n")):
                    self._silence = self._later(SILENT_PATIENCE, self._kill_silent)

    def _hear(self, facts: Mapping[str, Any]) -> None:
        match facts:
            case {"beat": comes_again}:
                self._looks_without_beat = 0 if comes_again else None
                return
            case {"worker_id": worker_id, "plugins_failed": failed}:
                self.worker_id = WorkerId(worker_id)
                self.has_loaded_all = failed == 0
            case {"draining": _}:
                self._is_draining = True
            case {"retiring": _}:
                self.retiring.set()
            case {"unfit": _}:
                self.is_unfit = True
            case {"kill": why}:
                self._is_cut_off = bool(facts.get("cut_off"))
                self.kill(why)
            case {"silent": seconds}:
                self._goes_on(seconds)
        self._alive_at = time.monotonic()

    def _goes_on(self, seconds: float) -> None:
        """Let a process live that stood still and runs again: it was frozen, or got the interpreter lock back."""
        if self._silence is not None:
            self._silence.cancel()
        _log.warning(
            "worker_was_silent",
            process=self.number,
            worker_id=self.worker_id,
            seconds=seconds,
            where=self._words.culprit(),
        )
        self._words.clear()

    def _kill_silent(self) -> None:
        if self._words.culprit():
            self.kill("watchdog: a handler kept the interpreter lock")
        else:
            self.kill(f"watchdog: it ran no Python for {SILENCE_LIMIT + SILENT_PATIENCE:g} s")

    def _kill_deaf(self) -> None:
        if not self._is_draining:
            self.kill("its event loop did not hear that it should stop")

    def _tell(self, order: str) -> None:
        """Say it over standard input: a handler may have taken the signals away from the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(order.encode())
        if self.worker_id is None:  # it may still be loading plugins, and does not read
            self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def _later(self, seconds: float, call: Any) -> asyncio.TimerHandle:
        timer = asyncio.get_running_loop().call_later(seconds, call)
        self._timers.append(timer)
        return timer


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
