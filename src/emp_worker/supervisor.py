"""The supervisor: a small process above the workers. It starts them again, reports a death at once, passes signals on.

It imports no plugin and runs no handler, so whatever takes a worker down leaves it standing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field

import structlog

from emp_core.errors import EmpError
from emp_core.ids import WorkerId
from emp_core.store import LeaveWord, open_store
from emp_worker.health import serve_health
from emp_worker.settings import WorkerSettings

CANNOT_START = 2
"""The exit code of a worker process that says: starting again will not help."""
_PAUSE_FIRST, _PAUSE_LAST = 0.2, 30.0
_HEALTHY_AFTER = 30.0
_REPORT_FOR = 20.0

_log = structlog.get_logger("emp.supervisor")


@dataclass(slots=True)
class Child:
    """One worker process as the supervisor sees it; times are monotonic."""

    number: int
    process: asyncio.subprocess.Process | None = None
    worker_id: WorkerId | None = None
    started_at: float = 0.0
    alive_at: float = 0.0
    reader: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Keeps `settings.processes` worker processes running until it is told to stop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._children = [Child(number) for number in range(settings.processes)]
        self._stop = asyncio.Event()
        self._reports: set[asyncio.Task[None]] = set()
        self._exit_code = 0

    async def run(self) -> int:
        """Supervise until stopped and every worker has ended; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on)
        async with contextlib.AsyncExitStack() as stack:
            if self._settings.health_port is not None:
                await stack.enter_async_context(serve_health(self._settings.health_port, self.is_ready))
            async with asyncio.TaskGroup() as group:
                for child in self._children:
                    group.create_task(self._keep(child))
            if self._reports:
                await asyncio.wait(self._reports)
        return self._exit_code

    def is_ready(self) -> bool:
        """Tell whether every worker has shown a sign of life within the last lease."""
        return all(time.monotonic() - child.alive_at < 15.0 for child in self._children)

    def _pass_on(self) -> None:
        """Tell the workers to drain; told again, they end at once."""
        self._stop.set()
        for child in self._children:
            if child.process is not None and child.process.returncode is None:
                child.process.send_signal(signal.SIGTERM)

    async def _keep(self, child: Child) -> None:
        """Run one worker process after another; a pause that doubles keeps a crash loop cheap."""
        pause = _PAUSE_FIRST
        while not self._stop.is_set():
            code = await self._run_once(child)
            if self._stop.is_set() or code == 0:  # a worker that was drained from afar is not started again
                break
            if code == CANNOT_START and child.worker_id is None:
                self._exit_code = CANNOT_START
                self._pass_on()
                break
            if time.monotonic() - child.started_at > _HEALTHY_AFTER:
                pause = _PAUSE_FIRST
            _log.info("worker_restarts", process=child.number, in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(pause * 2, _PAUSE_LAST)

    async def _run_once(self, child: Child) -> int:
        """Start a worker process, wait for its end, and report it if it was a death."""
        await self._start(child)
        if child.process is None or child.reader is None:
            raise RuntimeError("a child that was started has a process")
        if self._stop.is_set():  # told to stop while it was being started
            child.process.send_signal(signal.SIGTERM)
        code = await child.process.wait()
        await child.reader
        if code != 0 and child.worker_id is not None:
            reason = _reason(code)
            _log.error("worker_died", process=child.number, worker_id=child.worker_id, reason=reason)
            report = asyncio.create_task(self._report_death(child.worker_id, reason))
            self._reports.add(report)
            report.add_done_callback(self._reports.discard)
        return code

    async def _start(self, child: Child) -> None:
        read_end, write_end = os.pipe()
        # A group of its own: Ctrl-C on a terminal reaches the supervisor alone, which passes it on once.
        child.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "emp_worker.process",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(write_end,),
            process_group=0,
        )
        os.close(write_end)
        child.worker_id, child.started_at, child.alive_at = None, time.monotonic(), 0.0
        child.reader = asyncio.create_task(self._read(child, read_end))
        settings = self._settings.model_dump(mode="json")
        line = json.dumps({"settings": settings, "report_to": write_end})
        if child.process.stdin is not None:
            child.process.stdin.write(line.encode() + b"\n")

    async def _read(self, child: Child, read_end: int) -> None:
        """Take what a worker reports, until it ends."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb")
        )
        with contextlib.closing(transport):
            while line := await reader.readline():
                facts = json.loads(line)
                child.alive_at = time.monotonic()
                if "worker_id" in facts:
                    child.worker_id = WorkerId(facts["worker_id"])

    async def _report_death(self, worker_id: WorkerId, reason: str) -> None:
        """Tell the store that a worker is dead, so that its jobs need not wait for its lease to run out."""
        deadline = time.monotonic() + _REPORT_FOR
        async with open_store(self._settings.redis_url, self._settings.namespace) as store:
            while time.monotonic() < deadline:
                try:
                    word = await store.workers.leave(worker_id, reason)
                    while word is LeaveWord.LOST and await store.jobs.recover():
                        pass
                except EmpError as error:
                    _log.warning("death_not_reported", worker_id=worker_id, error=error.detail)
                    await asyncio.sleep(0.5)
                else:
                    return


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
