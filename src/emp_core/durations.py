"""Read a span of time as people write it: a number of seconds, or one with a unit."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|[smhd]?)")


def parse_duration(text: str) -> float | None:
    """Give the seconds that a text like `90`, `1.5`, `90s`, `5m`, `2h` or `1d` means; None for any other text."""
    match = _DURATION.fullmatch(text.strip())
    return None if match is None else float(match[1]) * _UNITS[match[2]]
