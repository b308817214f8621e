"""Put times, durations and numbers into words that are read at a glance."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def span(duration: timedelta) -> str:
    """Write a duration in at most two units: `850 ms`, `4.2 s`, `3 min 5 s`, `2 d 4 h`."""
    seconds = max(duration.total_seconds(), 0.0)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    for at, (unit, size) in enumerate(_UNITS):
        if left >= size:
            count, rest = divmod(left, size)
            following = _UNITS[at + 1 : at + 2]
            lesser = [f"{rest // size} {unit}" for unit, size in following if rest >= size]
            return " ".join((f"{count} {unit}", *lesser))
    raise AssertionError(left)


def about(duration: timedelta) -> str:
    """Write a duration in one unit: `12 s`, `3 min`."""
    seconds = max(int(duration.total_seconds()), 0)
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"


def relative(moment: datetime, now: datetime) -> str:
    """Write a time as seen from now: `12 s ago`, `in 3 min`, `now`."""
    if moment > now + timedelta(seconds=1):
        return f"in {about(moment - now)}"
    passed = now - moment
    return "now" if passed < timedelta(seconds=1) else f"{about(passed)} ago"


def absolute(moment: datetime) -> str:
    """Write a time in full, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def number(value: float) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,.0f}"


def of_bytes(size: int) -> str:
    """Write a size: `640 B`, `1.4 MiB`."""
    amount = float(size)
    for unit in _BYTES:
        if amount < 1024 or unit == _BYTES[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError(size)


def percent(fraction: float) -> str:
    """Write a share: `0.4 %`, `12 %`."""
    value = fraction * 100
    digits = 1 if 0 < value < 9.95 else 0
    return f"{value:.{digits}f}\u00a0%"


def plural(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun: `1 job`, `3 jobs`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
