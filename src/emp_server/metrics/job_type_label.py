"""Bound the label `job_type`: so many types have series of their own, the rest counts together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

OTHER: Final = "OTHER"
"""No job type can have this name: they are lower case."""


class JobTypeLabel:
    """Which label value each job type has.

    The first ones by name have their own: every server finds the same ones, and as job types that have had a job are
    never forgotten, a type may move into the rest and never out of it: so no counter goes back.
    """

    def __init__(self, job_types: Iterable[str], limit: int) -> None:
        names = sorted(job_types)
        self._own = names[:limit]
        self._by_type = dict.fromkeys(names, OTHER) | {name: name for name in self._own}

    def __iter__(self) -> Iterator[str]:
        """Give every value that the label has."""
        yield from self._own
        if len(self._by_type) > len(self._own):
            yield OTHER

    def __getitem__(self, job_type: str) -> str | None:
        """Give a type's label value; None for one that has never had a job."""
        return self._by_type.get(job_type)

    def sums(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Add up numbers by job type under the label's values, each of which is there."""
        found = dict.fromkeys(self, 0.0)
        for job_type, number in numbers.items():
            label = self[job_type]
            if label is not None:
                found[label] += number
        return found
