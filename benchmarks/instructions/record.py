"""The recorded figures, and the comparison with them."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.instructions.parts import Figures
from emp_core.store.embedded import find_binary

RISE: Final = 0.03
"""By how much a figure may rise."""
NOTABLE_FALL: Final = 0.03
"""A fall by more than this should be recorded, so that later rises are seen."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The figures of a part. `environment` has the versions that they depend on, EMP's own apart."""

    environment: Mapping[str, str]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a comparison: lines to print, and whether a figure rose or the part cannot be compared."""

    lines: tuple[str, ...]
    has_risen: bool = False
    cannot_compare: bool = False


def environment_of(part: str) -> dict[str, str]:
    """Return what the figures of a part depend on: the program that is counted, and the machine's kind."""
    machine = {"machine": platform.machine(), "libc": " ".join(platform.libc_ver())}
    if part == "store":
        return {"store": _store_version(), **machine}
    return {"python": f"{platform.python_version()} ({platform.python_compiler()})", **machine}


def _store_version() -> str:
    binary = find_binary()
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"\bv=([\d.]+)", told)
    return f"{binary.name} {version[1] if version else told.strip()}"


def read_records(file: Path) -> dict[str, Counted]:
    """Return the recorded figures of each part; none if there is no file."""
    if not file.exists():
        return {}
    return {part: Counted(**fields) for part, fields in json.loads(file.read_text("utf-8")).items()}


def write_records(file: Path, records: Mapping[str, Counted]) -> None:
    """Write the figures of all parts."""
    fields = {part: asdict(counted) for part, counted in sorted(records.items())}
    file.write_text(json.dumps(fields, indent=2) + "\n", "utf-8")


def compare(part: str, recorded: Counted | None, now: Counted) -> Verdict:
    """Compare the figures of a part with those that are recorded.

    A figure on one side only counts as a rise: otherwise it would be unguarded without notice.
    """
    if recorded is None:
        why = (f"{part}: CANNOT COMPARE: nothing is recorded. Record it: make instructions RECORD=1",)
        return Verdict((*_lines(part, now.figures), *why), cannot_compare=True)
    differences = [
        f"{part}: CANNOT COMPARE: recorded with {recorded.environment.get(name, 'no')} {name}, this is {value}."
        for name, value in now.environment.items()
        if recorded.environment.get(name) != value
    ]
    if differences:
        remedy = f"{part}: Check out the commit that was recorded, run make instructions RECORD=1, come back, compare."
        return Verdict((*_lines(part, now.figures), *differences, remedy), cannot_compare=True)
    lines, has_risen = [], False
    for name in sorted(recorded.figures.keys() | now.figures.keys()):
        line, rises = _compare_figure(f"{part} {name}", recorded.figures.get(name), now.figures.get(name))
        lines.append(line)
        has_risen |= rises
    return Verdict(tuple(lines), has_risen=has_risen)


def _lines(part: str, figures: Figures) -> list[str]:
    return [_row(f"{part} {name}", None, figure) for name, figure in sorted(figures.items())]


def _compare_figure(name: str, before: int | None, now: int | None) -> tuple[str, bool]:
    row = _row(name, before, now)
    if before is None or now is None:
        return f"{row}  IS NOT IN BOTH: record it", True
    change = now / before - 1
    row = f"{row} {change:+8.2%}"
    if now > before * (1 + RISE):
        return f"{row}  ROSE by more than {RISE:.0%}", True
    if now < before * (1 - NOTABLE_FALL):
        return f"{row}  fell: record it, so that it stays", False
    return row, False


def _row(name: str, before: int | None, now: int | None) -> str:
    return f"{name:28} {'-' if before is None else f'{before:,}':>12} {'-' if now is None else f'{now:,}':>12}"
