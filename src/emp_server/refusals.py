"""Count what this server has refused, by the name of the problem; numbers that only grow."""

from __future__ import annotations

from collections import Counter

from emp_core.errors import EmpError


class Refusals:
    """Counts refusals at the door: before the work of a request has begun."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, error: EmpError) -> None:
        """Count one more."""
        self.counts[error.problem] += 1
