"""A table with a line for each thing that was measured: what was reached, and what is to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 64


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured. Without a bound it is only told; `unit` belongs to `reached` and to the bounds.

    `also` is said behind it.
    """

    what: str
    reached: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    also: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within its bounds."""
        low = self.at_least is None or self.reached >= self.at_least
        return low and (self.at_most is None or self.reached <= self.at_most)

    @property
    def goal(self) -> str:
        """The bound in words; empty without one."""
        if self.at_most is not None:
            return f"<= {_number(self.at_most)}"
        return "" if self.at_least is None else f">= {_number(self.at_least)}"


def table(title: str, lines: Sequence[Line]) -> str:
    """Write lines under a title, each as `what, measured, goal`, and say which miss theirs."""
    rows = [f"{title:<{WIDTH}} {'measured':>11} {'goal':>11}"]
    for line in lines:
        what = f"{line.what}, {line.unit}" if line.unit else line.what
        row = f"{what:<{WIDTH}} {_number(line.reached):>11} {line.goal:>11}{'' if line.holds else '  MISSED'}"
        rows.append(f"{row}  {line.also}".rstrip())
    return "\n".join(rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
