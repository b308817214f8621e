"""Tell a log that something is away: at once with what to do, then ever more rarely, and once when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from emp_core.errors import EmpError, StoreUnavailable

SAID_AGAIN_AFTER: Final = 5.0
"""Seconds between the first line and the second; each pause that follows is twice as long."""
FORMAT_CODE: Final = "EMPFORMAT"
LONGEST_SILENCE: Final = 300.0
HINT: Final = "start the store, or say where it is (EMP_REDIS_URL); EMP goes on trying"


class Outage:
    """What one loop has told of an absence, of the store's for instance; how often the loop tries is its own affair.

    `unanswered_since` is the time of the clock since when no try had an answer at all, or None. An answer that
    rejects the call is one.

    Args:
        log: where to say it.
        event: what does not work meanwhile, as the warning's event.
        back: the event that ends it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        log: FilteringBoundLogger,
        event: str,
        back: str = "store_is_back",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._back = back
        self._clock = clock
        self.unanswered_since: float | None = None
        self._since: float | None = None
        self._pause = SAID_AGAIN_AFTER
        self._say_from = 0.0

    def failed(self, error: EmpError, **facts: Any) -> None:
        """Take that a try has failed; say so if it is time."""
        now = self._clock()
        if not _is_silence(error):
            self.unanswered_since = None
        elif self.unanswered_since is None:
            self.unanswered_since = now
        if self._since is None:
            self._since, self._say_from, self._pause = now, now, SAID_AGAIN_AFTER
        if now < self._say_from:
            return
        # A store of another format is there: what to do about it is in the error.
        hint = {"hint": HINT} if isinstance(error, StoreUnavailable) and error.code != FORMAT_CODE else {}
        self._log.warning(self._event, error=error.detail, for_seconds=round(now - self._since, 1), **facts, **hint)
        self._say_from = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_SILENCE)

    def over(self) -> None:
        """Take that a try has succeeded; say so if one had failed before."""
        self.unanswered_since = None
        if self._since is not None:
            self._log.info(self._back, after=self._event, seconds=round(self._clock() - self._since, 1))
            self._since = None


def _is_silence(error: EmpError) -> bool:
    """Return whether the store said nothing, not even that it rejects the call."""
    return isinstance(error, StoreUnavailable) and not error.code
