"""How load behaves: times that are spread as those of real services are, and failures that come in bursts."""

from __future__ import annotations

import math
import random
from enum import StrEnum


class Latency(StrEnum):
    """A distribution of times with a given mean."""

    CONSTANT = "constant"
    UNIFORM = "uniform"
    NORMAL = "normal"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"


def drawn(latency: Latency, mean: float, spread: float, chance: random.Random) -> float:
    """Draw a time in seconds, never below 0; `spread` is the standard deviation as a part of the mean.

    uniform: from 0 to twice the mean. exponential: waits between independent events. lognormal: most are short, a few
    very long, as answers of services over a network are.
    """
    match latency:
        case Latency.CONSTANT:
            return mean
        case Latency.UNIFORM:
            return chance.uniform(0, 2 * mean)
        case Latency.NORMAL:
            return max(0.0, chance.gauss(mean, spread * mean))
        case Latency.EXPONENTIAL:
            return chance.expovariate(1 / mean) if mean > 0 else 0.0
        case Latency.LOGNORMAL:
            # With these the mean of exp(gauss) is `mean`, and its standard deviation `spread * mean`.
            variance = math.log1p(spread**2)
            return mean * math.exp(chance.gauss(-variance / 2, math.sqrt(variance)))


def is_in_burst(now: float, period: float, length: float) -> bool:
    """Tell whether a time (Unix seconds) lies in a burst: the first `length` seconds of each `period`."""
    return period > 0 and now % period < length
