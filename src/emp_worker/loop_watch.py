"""The loop watch: measures how late the worker's event loop is, and names the job that blocks it.

It looks from another thread, since a blocked loop cannot look at itself.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from itertools import islice
from pathlib import PurePath
from typing import Final

import structlog

from emp_core.ids import JobId
from emp_core.jobs import TroubleWord
from emp_worker.troubles import Open, Troubles

BLOCKED_AFTER: Final = 1.0
"""Seconds without an answer after which whoever holds the loop up is named."""
_FRAMES_SHOWN = 6

_log = structlog.get_logger("emp.worker")


class LoopWatch:
    """Watches the loop of the thread that makes it.

    Args:
        troubles: takes the job that blocks the loop, until it does not any more.
        tell: called on the loop with a trouble that is over while its job goes on.
    """

    def __init__(self, troubles: Troubles, tell: Callable[[Open], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._troubles = troubles
        self._tell = tell
        self._asked_at: float | None = None
        self._looked_at = 0.0
        self._worst = 0.0
        self._blocked: Open | None = None
        self._is_named = False

    @property
    def blocked(self) -> Open | None:
        """The job that blocks the loop now; None if it answers, or no job is to blame."""
        return self._blocked

    def look(self) -> None:
        """Ask the loop, and name who blocks it if it has not answered for too long; call it several times a second."""
        now, asked_at = time.monotonic(), self._asked_at
        # After a freeze of the whole process the loop has not answered either, and nobody is to blame.
        is_punctual = now - self._looked_at < BLOCKED_AFTER
        self._looked_at = now
        if asked_at is None:
            if not self._loop.is_closed():
                self._asked_at = now
                self._loop.call_soon_threadsafe(self._answered, now)
        elif now - asked_at > BLOCKED_AFTER and is_punctual and not self._is_named:
            self._is_named = True
            self._name(asked_at)

    def lag(self) -> float:
        """Give the longest wait for an answer since the last call, in seconds; one that lasts counts as it ages."""
        worst, self._worst = self._worst, 0.0
        asked_at = self._asked_at
        return worst if asked_at is None else max(worst, time.monotonic() - asked_at)

    def _name(self, asked_at: float) -> None:
        where = _where(self._thread_id)
        # The loop's thread writes this while we read; both are one step under the interpreter lock.
        task = asyncio.current_task(self._loop)
        name = "" if task is None else task.get_name()
        job = job_of(name)
        _log.warning(
            "loop_blocked",
            job_id=job and job[0],
            job_type=job and job[1],
            running=name,
            seconds=round(time.monotonic() - asked_at, 1),
            where=where,
        )
        if job is not None:
            self._blocked = Open(*job, TroubleWord.BLOCKS_LOOP, asked_at, where)
            self._troubles.begin(self._blocked)

    def _answered(self, asked_at: float) -> None:
        """Hear, on the loop, that it has come round."""
        lag = time.monotonic() - asked_at
        self._worst = max(self._worst, lag)
        blocked, was_named = self._blocked, self._is_named
        self._blocked, self._is_named, self._asked_at = None, False, None
        if was_named:
            _log.warning("loop_free_again", job_id=blocked and blocked.job_id, seconds=round(lag, 1))
        if blocked is not None and self._troubles.end(blocked.job_id, blocked.what) is not None:
            self._tell(blocked)


def job_name(job_id: JobId, job_type: str) -> str:
    """Name the asyncio task that performs a job."""
    return f"job {job_id} {job_type}"


def job_of(name: str) -> tuple[JobId, str] | None:
    """Read a name that `job_name` gave; None if it is another's."""
    match name.split():
        case ["job", job_id, job_type]:
            return JobId(job_id), job_type
        case _:
            return None


def _where(thread_id: int) -> str:
    """Give the innermost frames of a thread, innermost first."""
    innermost = sys._current_frames().get(thread_id)
    if innermost is None:
        return ""
    shown: list[str] = []
    for frame, line in islice(traceback.walk_stack(innermost), _FRAMES_SHOWN):
        file = PurePath(frame.f_code.co_filename)
        if shown and file.parts[-3:-1] == ("emp_worker", "isolation"):  # from here on it is EMP that called
            break
        shown.append(f"{'/'.join(file.parts[-2:])}:{line} {frame.f_code.co_name}")
    return " < ".join(shown)
