"""What happens to clocks: the store's or a worker's is suddenly an hour off, and stays so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Effect, look_for
from faults.journal import read_journal
from faults.rig import Rig


@contextmanager
def store_jumps(rig: Rig, seconds: int) -> Iterator[Effect]:
    """Move the store's clock. It is not moved back: a job that was scheduled by it would then wait that long."""
    rig.clock("store").move(seconds)
    effect = Effect()
    yield effect
    shift = rig.direct.time()[0] - time.time()
    effect.seen(abs(shift - seconds) < 60 and f"the store's clock is {shift:+.0f} s off")


@contextmanager
def worker_jumps(rig: Rig, seconds: int) -> Iterator[Effect]:
    """Move the clock of all that runs below one supervisor."""
    worker = rig.workers[0]
    rig.clock(worker.name).move(seconds)
    effect = Effect()
    yield effect

    def shifted() -> int:
        entries = read_journal(rig.journal).entries.values()
        now = time.time()
        return sum(abs(entry.wall - now - seconds) < 60 for job in entries for entry in job)

    count = look_for(shifted, 10)
    effect.seen(count and f"{count} times a handler read a clock that was {seconds:+} s off")
    rig.clock(worker.name).move(0)
