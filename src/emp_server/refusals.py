"""Count what this server has refused, by the name of the problem; numbers that only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from emp_core.errors import EmpError


class Refusals:
    """Counts refusals at the door: before the work of a request has begun.

    Args:
        tell: is told of each, too.
    """

    def __init__(self, tell: Callable[[EmpError], None] | None = None) -> None:
        self._tell = tell
        self.counts: Counter[str] = Counter()

    def count(self, error: EmpError) -> None:
        """Count one more."""
        self.counts[error.problem] += 1
        if self._tell is not None:
            self._tell(error)
