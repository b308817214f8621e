"""Lay out the chart of ended jobs over time: bars for an SVG, and the same numbers for a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WIDTH: Final = 1000
HEIGHT: Final = 130
GAP: Final = 0.22


@dataclass(frozen=True, slots=True)
class Ended:
    """How many jobs ended in a stretch of time."""

    at: datetime
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of time: where its two parts stand, in the SVG's units, failed ones on top."""

    ended: Ended
    x: float
    width: float
    completed_y: float
    completed_height: float
    failed_y: float
    failed_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars from the oldest to the newest, the number at the top of the scale, and the times under it."""

    bars: Sequence[Bar]
    top: int
    marks: Sequence[tuple[float, datetime]]
    step: timedelta
    completed: int
    failed: int


def draw(stretches: Sequence[Ended], step: timedelta) -> Chart:
    """Draw stretches of time of the same length, the oldest first."""
    top = rounded_up(max((each.completed + each.failed for each in stretches), default=0))
    slot = WIDTH / max(len(stretches), 1)
    bars = [_bar(each, at * slot, slot, top) for at, each in enumerate(stretches)]
    quarter = max(len(stretches) // 4, 1)
    marks = [(bar.x, bar.ended.at) for bar in bars[::quarter]]
    return Chart(
        bars, top, marks, step, sum(each.completed for each in stretches), sum(each.failed for each in stretches)
    )


def _bar(ended: Ended, x: float, slot: float, top: int) -> Bar:
    completed, failed = (_height(count, top) for count in (ended.completed, ended.failed))
    return Bar(
        ended,
        x=round(x + slot * GAP / 2, 2),
        width=round(slot * (1 - GAP), 2),
        completed_y=round(HEIGHT - completed, 2),
        completed_height=completed,
        failed_y=round(HEIGHT - completed - failed, 2),
        failed_height=failed,
    )


def _height(count: int, top: int) -> float:
    """Give a part's height; one job among thousands is still seen."""
    return max(round(HEIGHT * count / top, 2), 2.0) if count else 0.0


def rounded_up(count: int) -> int:
    """Give the next number of the form 1, 2 or 5 times a power of ten, at least 5."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= max(count, 5):
                return step * power
        power *= 10
