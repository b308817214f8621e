"""Troubles: the running jobs that misbehave, for the worker's status and their logs. Used from several threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from emp_core.ids import JobId
from emp_core.jobs import Trouble, TroubleWord


@dataclass(frozen=True, slots=True)
class Open:
    """A trouble that is not over; `since` is monotonic, `where` says what the handler was doing."""

    job_id: JobId
    job_type: str
    what: TroubleWord
    since: float
    where: str = ""

    @property
    def seconds(self) -> float:
        """How long it lasts so far."""
        return time.monotonic() - self.since

    def told(self) -> str:
        """Say it in the job's log."""
        where = f"; it was at {self.where}" if self.where else ""
        if self.what is TroubleWord.BLOCKS_LOOP:
            return (
                f"the handler blocked the worker's event loop for {self.seconds:.1f} s{where};"
                " await instead, or make it a `def` handler"
            )
        return f"the handler goes on {self.seconds:.0f} s after it was told to end, and keeps its slot{where}"


class Troubles:
    """What is wrong now. `changed` is called, from whatever thread, when a trouble begins or ends."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._open: dict[tuple[JobId, TroubleWord], Open] = {}
        self._lock = threading.Lock()

    def begin(self, trouble: Open) -> None:
        """Take a new trouble."""
        with self._lock:
            self._open[trouble.job_id, trouble.what] = trouble
        self._changed()

    def end(self, job_id: JobId, what: TroubleWord) -> Open | None:
        """Forget a trouble that is over, and give it; None if it was over before."""
        with self._lock:
            trouble = self._open.pop((job_id, what), None)
        if trouble is not None:
            self._changed()
        return trouble

    def now(self) -> tuple[Trouble, ...]:
        """Give what is wrong now, for the worker's status."""
        with self._lock:
            return tuple(Trouble(each.job_id, each.job_type, each.what, each.seconds) for each in self._open.values())
