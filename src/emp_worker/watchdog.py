"""The watchdog: tells the supervisor what the threads do when a handler keeps the interpreter lock.

Such a handler (a catastrophic regular expression) stops every Python thread, the heartbeat's too. faulthandler waits on
a thread of its own that needs no lock, and writes the stacks where the supervisor reads them; see last_words.py.

It does not end the process itself: after a freeze (SIGSTOP) its time is over as well, and then nobody is to blame. The
supervisor ends a process that wrote its stacks and does not say `silent` right after.
"""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

SILENCE_LIMIT: Final = 5.5
"""Seconds without the interpreter lock after which the stacks are written. With the 5 s between two renewals, the half
second between two beats and the supervisor's second of patience this is 0.8 of a lease."""
_FEED_EVERY = 1.0


class Watchdog:
    """Writes the stacks of all threads to a descriptor unless it is fed; those of a crash go there, too.

    Args:
        descriptor: where the stacks go.
        report: takes `{"silent": seconds}` from a process that was not heard of for longer than the limit.
    """

    def __init__(self, descriptor: int, report: Callable[[Mapping[str, Any]], None]) -> None:
        self._descriptor = descriptor
        self._report = report
        self._fed_at: float | None = None
        faulthandler.enable(file=descriptor, all_threads=True)

    def feed(self) -> None:
        """Begin its wait anew; the heartbeat's thread calls this several times a second."""
        fed_before, now = self._fed_at, time.monotonic()
        if fed_before is not None and now - fed_before < _FEED_EVERY:
            return
        faulthandler.dump_traceback_later(SILENCE_LIMIT, file=self._descriptor)
        self._fed_at = now
        # Take the time again: the old timer runs until the call has replaced it, and this thread may have had to wait.
        silent = 0.0 if fed_before is None else time.monotonic() - fed_before
        if silent > SILENCE_LIMIT:
            self._report({"silent": round(silent, 1)})

    def stop(self) -> None:
        """Let it sleep: nobody feeds it any more."""
        faulthandler.cancel_dump_traceback_later()
