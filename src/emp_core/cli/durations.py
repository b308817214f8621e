"""Read the durations and moments that options take."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

import click

from emp_core.durations import parse_duration


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
