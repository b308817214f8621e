"""Run faults: one rig for all that share a set-up, one row for each fault."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faults.facts import Violation
from faults.fault import Fault, look_for
from faults.rig import Rig, Totals

WARM_UP = 0.6
"""Seconds of load before a fault is injected."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault came to; numbers are of this fault alone, although the rig goes on from the one before."""

    fault: str
    evidence: str
    totals: Totals
    violations: tuple[Violation, ...]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Tell whether the fault took effect and nothing was violated."""
        return bool(self.evidence) and not self.violations


class Runner:
    """A rig that one fault after the other is injected into."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._totals = Totals()
        self._known: set[Violation] = set()

    def run(self, fault: Fault) -> Row:
        """Inject a fault under load, heal it, let things settle, and check everything."""
        rig, began = self._rig, time.monotonic()
        lost = rig.losses()
        with ExitStack() as stack:
            if fault.load:
                done = rig.completed()
                stack.enter_context(rig.load())
                look_for(lambda: rig.completed() - done > 5, 10)
                time.sleep(WARM_UP)
            with fault.inject(rig) as effect:
                time.sleep(fault.hold)  # the fault itself
        wrong = [*effect.violations, *self._settle()]
        if not fault.may_lose and (losses := rig.losses() - lost):
            wrong.append(Violation(4, "the rig", f"{losses} jobs lost their worker, and every worker lived"))
        totals, violations = rig.check()
        fresh = tuple(sorted({*violations, *wrong} - self._known))
        row = Row(fault.name, effect.evidence, totals.since(self._totals), fresh, time.monotonic() - began)
        self._totals, self._known = totals, self._known | set(violations)
        return row

    def _settle(self) -> list[Violation]:
        """Let everything end, and try the rig out; gives what did not come back or to an end."""
        rig = self._rig
        try:
            rig.wait_until_whole()
        except AssertionError as error:
            return [Violation(8, "the rig", f"is not whole again: {error}")]
        if not rig.settle():
            return [Violation(1, "the rig", f"does not settle within {rig.setup.settle_timeout:g} s")]
        rig.probe()
        rig.read_back()
        return []


def run_all(faults: Iterable[Fault], folder: Path, seed: int, **changes: Any) -> Iterator[Row]:
    """Run faults, grouped by what rig they need; a rig that comes out broken is not used again.

    `changes` are made to the set-up of every rig.
    """
    waiting = list(faults)
    number = 0
    while waiting:
        setup = waiting[0].setup
        number += 1
        place = folder / f"rig-{number}"
        place.mkdir()
        with Rig(place, replace(setup, **changes), f"{seed}.{number}") as rig:
            runner = Runner(rig)
            for fault in [each for each in waiting if each.setup == setup]:
                waiting.remove(fault)
                row = runner.run(fault)
                yield row
                if not row.is_good:
                    break
