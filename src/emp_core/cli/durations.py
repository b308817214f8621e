"""Read the durations and moments that options take."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any, Final

import click

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|[smhd]?)")


def parse_duration(text: str) -> float | None:
    """Give the seconds that a text like `90`, `1.5`, `90s`, `5m`, `2h` or `1d` means; None for any other text."""
    match = _DURATION.fullmatch(text.strip())
    return None if match is None else float(match[1]) * _UNITS[match[2]]


class Duration(click.ParamType[float]):
    """A span of time, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the option's text."""
        seconds = value if isinstance(value, float) else parse_duration(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not a duration: give seconds, or 90s, 5m, 2h, 1d", param, ctx)
        return seconds


class WaitLimit(Duration):
    """How long to wait; without a value, for ever."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the option's text; the flag's own value stands for no limit."""
        return math.inf if value == FOR_EVER else super().convert(value, param, ctx)


class Moment(click.ParamType[datetime]):
    """A moment, ISO 8601; one without an offset is local time."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the option's text."""
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a moment such as 2027-01-31T18:30 or 2027-01-31T18:30:00Z", param, ctx)


FOR_EVER: Final = "for ever"
DURATION: Final = Duration()
WAIT_LIMIT: Final = WaitLimit()
MOMENT: Final = Moment()
