"""A fault: a named context manager that injects, heals at its end, and says whether it took effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from faults.facts import Violation
from faults.rig import Rig, Setup

T = TypeVar("T")


@dataclass(slots=True)
class Effect:
    """What showed that a fault took effect, empty where nothing has, and what was wrong while it stood."""

    evidence: str = ""
    violations: list[Violation] = field(default_factory=list)

    def seen(self, evidence: object) -> None:
        """Note what was seen, if it says anything."""
        if evidence:
            self.evidence = str(evidence)


Inject = Callable[[Rig], AbstractContextManager[Effect]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the list.

    `hold` is how long it stands, in seconds, before it is healed. `load`: clients submit jobs meanwhile. `quick` faults
    are the fixed selection of `make test`. Without `may_lose` no job may lose its worker by it. `missing` says what
    this machine lacks for it; nothing if it can be done.
    """

    name: str
    inject: Inject
    hold: float = 0.5
    load: bool = True
    quick: bool = False
    may_lose: bool = True
    setup: Setup = field(default_factory=Setup)
    missing: Callable[[], str] = str


def look_for(found: Callable[[], T], timeout: float) -> T | None:
    """Wait for a sign that a fault took effect; None if there was none in time."""
    deadline = time.monotonic() + timeout
    while not (value := found()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return value
