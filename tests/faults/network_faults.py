"""What happens to the lines between EMP and its store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Effect, look_for
from faults.proxy import Direction, Line
from faults.rig import Rig
from faults.units import Unit


def _any_unit(rig: Rig) -> Unit:
    return rig.chance.choice([*rig.servers, *rig.workers])


@contextmanager
def cut(rig: Rig) -> Iterator[Effect]:
    """Reset the connections of every process."""
    count = sum(unit.line.cut() for unit in (*rig.servers, *rig.workers))
    yield Effect(f"{count} connections were reset" if count else "")


@contextmanager
def cut_after(rig: Rig, direction: Direction) -> Iterator[Effect]:
    """Cut every connection after a number of bytes, which another one has each time."""
    units = [*rig.servers, *rig.workers]
    before = sum(unit.line.cuts for unit in units)
    for _ in range(10):
        for unit in units:
            unit.line.set(Line(cut=direction, cut_after=rig.chance.randrange(1, 6000)))
        time.sleep(0.3)
    for unit in units:
        unit.line.heal()
    cuts = sum(unit.line.cuts for unit in units) - before
    yield Effect(f"{cuts} connections were cut" if cuts else "")


@contextmanager
def changed(rig: Rig, line: Line, what: str) -> Iterator[Effect]:
    """Let the lines of a server and a worker be bad."""
    units = [rig.chance.choice(rig.servers), rig.chance.choice(rig.workers)]
    for unit in units:
        unit.line.set(line)
    yield Effect(f"{' and '.join(unit.name for unit in units)} {what}")
    for unit in units:
        unit.line.heal()


@contextmanager
def half_open(rig: Rig) -> Iterator[Effect]:
    """Take the store's side of connections away, and tell nobody."""
    units = [rig.chance.choice(rig.servers), rig.chance.choice(rig.workers)]
    count = sum(unit.line.half_open() for unit in units)
    yield Effect(f"{count} connections were half open" if count else "")
    for unit in units:
        unit.line.heal()


@contextmanager
def partitioned(rig: Rig) -> Iterator[Effect]:
    """Cut one worker off for longer than its lease; it comes back with late results."""
    worker = rig.chance.choice(rig.workers)
    lost = worker.said("lease_lost")
    worker.line.set(Line(stalled=frozenset({"up", "down"})))
    time.sleep(20)
    worker.line.heal()
    effect = Effect()
    yield effect
    effect.seen(look_for(lambda: worker.said("lease_lost") > lost, 10) and "it lost its lease and has a new one")
