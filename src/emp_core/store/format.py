"""The store's format: which releases may work on one store together.

The key `format` of a partition holds a number. Every script reads it and refuses a number that this release does not
know, so a process of another release does nothing to the store. Within one format, records are read leniently: unknown
fields survive, missing ones have defaults.

The number rises when something is first *used* that older releases would do wrong (`require_format` in prelude.lua),
not when a newer process starts. A rolling upgrade may mix releases for as long as only what both know is used. A new
store begins with the oldest format that its first process knows. A store without a number is either new, or was written
by a release from before the number; such a store has to be migrated (`emp store migrate`).

| format | what older releases would do wrong |
| --- | --- |
| 1 | the first with a number: before it, records had other fields |
| 2 | run a job again that is to fail when its worker is lost (`on_worker_lost`) |
"""

from __future__ import annotations

import re
from typing import Final

OLDEST_FORMAT: Final = 1
"""The oldest format that this release works with."""
NEWEST_FORMAT: Final = 2
"""The newest format that this release works with."""


def is_known(number: bytes | None) -> bool:
    """Return whether this release works with the format of a stored number."""
    return OLDEST_FORMAT <= parse_format(number) <= NEWEST_FORMAT


def parse_format(number: bytes | None) -> int:
    """Return the format of a number as it is stored, as refuse_format in prelude.lua reads it; 0 if it is none."""
    if number is None or _NUMBER.fullmatch(number) is None:
        return 0
    return int(number[:_DIGITS])


_DIGITS: Final = 18
_NUMBER: Final = re.compile(rb"[1-9][0-9]*")
