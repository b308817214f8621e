"""Compare two versions of a JSON Schema: would the new one take every value that the old one takes?

The answer is exact where the two say the same in the same words, and never claims more than it knows: what it cannot
decide it says so. What a model checks in Python, beyond its schema, is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emp_worker.drift.comparison import Comparison
from emp_worker.drift.difference import Difference, Word

__all__ = ["Difference", "Word", "differences"]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """List what values of the old schema (draft 2020-12) meet in the new one; nothing means that all are taken.

    A field that only the new schema names is compared with the old one's rule for other fields where that says
    something: that clients sent it by chance, when nobody read it, is left out of account.
    """
    return list(_once(Comparison(old, new).compare(old, new, "")))


def _once(found: Iterator[Difference]) -> Iterator[Difference]:
    """Leave out what has been said: two branches of a union may meet the same."""
    said: set[Difference] = set()
    for each in found:
        if each not in said:
            said.add(each)
            yield each
