"""The supervisor: a small process above the workers. It starts them again, reports a death at once, passes signals on.

It imports no plugin and runs no handler, so whatever takes a worker down leaves it standing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from datetime import timedelta

import structlog

from emp_core.errors import EmpError
from emp_core.ids import WorkerId
from emp_core.outage import Outage
from emp_core.store import LeaveWord, open_store
from emp_worker.health import serve_health
from emp_worker.settings import WorkerSettings
from emp_worker.worker_process import LEFT_WORK, WATCH_EVERY, WorkerProcess

CANNOT_START = 2
"""The exit code of a worker process that says: starting again will not help."""
_PAUSE_SECOND, _PAUSE_LAST = 0.2, 30.0
_HEALTHY_AFTER = 30.0
_REPORT_FOR = 20.0

_log = structlog.get_logger("emp.supervisor")


class Supervisor:
    """Keeps `settings.processes` worker processes running until it is told to stop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._newest: dict[int, WorkerProcess] = {}
        self._living: set[WorkerProcess] = set()
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Supervise until stopped and every worker has ended; gives the exit code."""
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, self._pass_on)
        async with contextlib.AsyncExitStack() as stack:
            if self._settings.health_port is not None:
                await stack.enter_async_context(serve_health(self._settings.health_port, self.is_ready))
            watch = asyncio.create_task(self._watch_beats())
            stack.callback(watch.cancel)
            async with asyncio.TaskGroup() as group:
                for number in range(self._settings.processes):
                    group.create_task(self._keep(number, group))
        return self._exit_code

    async def _watch_beats(self) -> None:
        """Look at the beats of all processes.

        Looks are counted, and not time: a machine that was suspended, or a stop of this process and its workers
        together, is one look at most.
        """
        while True:
            await asyncio.sleep(WATCH_EVERY)
            for process in self._living:
                process.look()

    def is_ready(self) -> bool:
        """Tell whether every worker has shown a sign of life within the last lease."""
        return len(self._newest) == self._settings.processes and all(
            process.is_alive() for process in self._newest.values()
        )

    def _pass_on(self) -> None:
        """Tell the workers to drain; told again, they end at once."""
        is_repeated = self._stop.is_set()
        _log.info("stopping", at_once=is_repeated)
        self._stop.set()
        for process in self._living:
            if is_repeated:
                process.hurry()
            else:
                process.drain()

    async def _keep(self, number: int, group: asyncio.TaskGroup) -> None:
        """Run one worker process after another: at once after the first death, then after pauses that double."""
        pause, has_served = 0.0, False
        while not self._stop.is_set():
            process = await self._start(number)
            end = group.create_task(self._see_off(process, group))
            wish = group.create_task(process.retiring.wait())
            await asyncio.wait({end, wish}, return_when=asyncio.FIRST_COMPLETED)
            wish.cancel()
            has_served = has_served or process.worker_id is not None
            if process.retiring.is_set():  # it finishes what it has beside its successor
                pause = 0.0
                continue
            code = await end
            is_drained = code in {0, LEFT_WORK}  # by the server: it is not started again
            if self._stop.is_set() or is_drained:
                if process.has_left_work(code):
                    self._exit_code = self._exit_code or 1
                break
            if code == CANNOT_START and (process.is_unfit or not has_served):
                self._exit_code = CANNOT_START
                self._pass_on()
                break
            if time.monotonic() - process.started_at > _HEALTHY_AFTER:
                pause = 0.0
            _log.info("worker_restarts", process=number, in_seconds=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(max(pause * 2, _PAUSE_SECOND), _PAUSE_LAST)

    async def _start(self, number: int) -> WorkerProcess:
        settings, before = self._settings, self._newest.get(number)
        if before is not None and before.has_loaded_all:
            # A trial would find nothing, and the jobs of the one before are waiting.
            settings = settings.model_copy(update={"plugins_import_limit": timedelta(0)})
        process = self._newest[number] = WorkerProcess(number, settings)
        await process.start()
        self._living.add(process)
        if self._stop.is_set():  # told to stop while it was being started
            process.drain()
        return process

    async def _see_off(self, process: WorkerProcess, group: asyncio.TaskGroup) -> int:
        """Wait for a process's end, report it if it was a death, and give its exit code."""
        code = await process.wait()
        self._living.discard(process)
        if code != 0 and process.worker_id is not None and not process.is_unfit:
            reason = process.why_ended(code)
            _log.error(
                "worker_died",
                process=process.number,
                worker_id=process.worker_id,
                reason=reason,
                stacks=process.last_words(),
            )
            group.create_task(self._report_death(process.worker_id, reason))
        return code

    async def _report_death(self, worker_id: WorkerId, reason: str) -> None:
        """Tell the store that a worker is dead, so that its jobs need not wait for its lease to run out."""
        deadline = time.monotonic() + _REPORT_FOR
        outage = Outage(_log, "death_not_reported")
        async with open_store(self._settings.redis_url, self._settings.namespace) as store:
            while time.monotonic() < deadline:
                try:
                    word = await store.workers.leave(worker_id, reason)
                    while word is LeaveWord.LOST and await store.jobs.recover():
                        pass
                except EmpError as error:
                    outage.failed(error, worker_id=worker_id)
                    await asyncio.sleep(0.5)
                else:
                    outage.over()
                    return
