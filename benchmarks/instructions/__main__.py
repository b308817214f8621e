"""Count instructions per job: `python -m benchmarks.instructions`. See docs/explanation/performance.md.

Exits 0 if no figure is more than 3 % over the recorded one, 1 if one is, 3 if one cannot be counted or compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.contestants import ROOT
from benchmarks.instructions.callgrind import MissingTool
from benchmarks.instructions.parts import Figures
from benchmarks.instructions.python_parts import count_python
from benchmarks.instructions.record import Counted, compare, environment_of, read_records, write_records
from benchmarks.instructions.store_part import count_store

PARTS: Final = ("store", "server", "worker")
FILE: Final = ROOT / "benchmarks" / "instructions.json"
EXIT_HOLDS: Final = 0
EXIT_ROSE: Final = 1
EXIT_UNKNOWN: Final = 3
_AT_ONCE: Final = 2


def main() -> int:
    """Count, compare with the recorded figures, and record them if asked to."""
    arguments = _arguments()
    began = time.monotonic()
    try:
        counted = _count(arguments.parts)
    except MissingTool as error:
        print(f"Instructions cannot be counted. {error}", file=sys.stderr)
        return EXIT_UNKNOWN
    records = read_records(FILE)
    verdicts = [compare(part, records.get(part), now) for part, now in counted.items()]
    print(f"{'instructions per job':28} {'recorded':>12} {'now':>12}")
    for verdict in verdicts:
        print(*verdict.lines, sep="\n")
    print(f"{time.monotonic() - began:.0f} seconds", flush=True)
    if arguments.record:
        write_records(FILE, records | counted)
        print(f"recorded in {FILE.relative_to(ROOT)}")
        return EXIT_HOLDS
    if any(verdict.has_risen for verdict in verdicts):
        print("Record a rise that is worth its price, and say why: make instructions RECORD=1", file=sys.stderr)
        return EXIT_ROSE
    return EXIT_UNKNOWN if any(verdict.cannot_compare for verdict in verdicts) else EXIT_HOLDS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description="Count instructions per job."
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="count these alone")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/instructions.json")
    return parser.parse_args()


def _count(parts: Sequence[str]) -> dict[str, Counted]:
    """Count parts, two at a time: no figure depends on how busy the machine is."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        figures = pool.map(_count_part, parts)
        return {part: Counted(environment_of(part), each) for part, each in zip(parts, figures, strict=True)}


def _count_part(part: str) -> Figures:
    with tempfile.TemporaryDirectory(prefix="emp-instructions-") as folder:
        return count_store(Path(folder)) if part == "store" else count_python(part, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
