"""When a part of the development stack that has ended starts again: soon at first, later each time it does not last."""

from __future__ import annotations

from typing import Final

PAUSE_FIRST: Final = 0.5
"""Seconds; each pause that follows is twice as long."""
PAUSE_LAST: Final = 30.0
LASTING: Final = 30.0
"""Seconds after which a part that runs counts as well again."""


class Restarts:
    """The parts that wait to be started again. Times are seconds of one clock, and those of a clock are given."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def ended(self, part: str, now: float) -> float:
        """Take that a part has ended, and give the seconds until it is due."""
        if now - self._begun.get(part, now) >= LASTING:
            self._pauses.pop(part, None)
        pause = self._pauses.get(part, PAUSE_FIRST)
        self._pauses[part] = min(pause * 2, PAUSE_LAST)
        self._due[part] = now + pause
        return pause

    def due(self, now: float) -> list[str]:
        """Give the parts that are to be started now; each is given once."""
        parts = [part for part, at in self._due.items() if at <= now]
        for part in parts:
            del self._due[part]
            self._begun[part] = now
        return parts

    def is_waiting(self, part: str) -> bool:
        """Tell whether a part has ended and is not due yet."""
        return part in self._due

    def forget(self) -> None:
        """Begin anew: all parts are started otherwise."""
        self._due.clear()
        self._pauses.clear()
        self._begun.clear()
