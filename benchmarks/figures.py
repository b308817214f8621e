"""Turn what rounds measured into figures: medians, and medians of ratios within a round.

The machine's speed moves by a third from hour to hour and much more while others use it. What was measured within one
round was measured within seconds, so ratios are made there and only then summed up.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """What was measured: of whom, and what."""

    who: str
    what: str


Round = Mapping[Figure, float]
"""What one round measured. A figure may be missing: not every contestant can do everything."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest value that at least so many percent of the values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def median(rounds: Iterable[Round], figure: Figure) -> float | None:
    """Give a figure's median over the rounds that have it; None if none has."""
    values = [each[figure] for each in rounds if figure in each]
    return statistics.median(values) if values else None


def ratio(rounds: Iterable[Round], of: Figure, to: Figure) -> float | None:
    """Give the median of the ratios within the rounds that have both; None if none has."""
    ratios = [each[of] / each[to] for each in rounds if of in each and each.get(to)]
    return statistics.median(ratios) if ratios else None


def spread(rounds: Iterable[Round], figure: Figure) -> float | None:
    """Say how far the rounds are apart, in medians: the noise of the machine. None if there are not two."""
    values = [each[figure] for each in rounds if figure in each]
    middle = statistics.median(values) if len(values) > 1 else 0
    return (max(values) - min(values)) / middle if middle else None
