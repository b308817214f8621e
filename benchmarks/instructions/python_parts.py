"""Count what the processes of EMP do in Python for a job: the server for a submission, the worker for its execution.

Each runs in one process under callgrind (`inside.py`), with a store beside it. Time stands still, and the event loop
takes the same steps in every run (`lockstep.py`). N jobs and 2N jobs are counted in turns: a difference holds no
start-up, and the median of the differences nothing that happens once.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contestants import ROOT
from benchmarks.instructions.callgrind import callgrind_command, fixed_environment, read_dumps
from benchmarks.instructions.marks import compile_marks
from benchmarks.instructions.parts import Figures, running_store

_TIMEOUT: Final = 600
"""Seconds that a process may take: a tenth of it is enough on a quiet machine."""


def count_python(part: str, folder: Path) -> Figures:
    """Return the instructions per job of the part `server` or `worker`, by what is done.

    Raises:
        MissingTool: valgrind or a C compiler is not installed.
        RuntimeError: the process failed; the message ends with what it wrote last.
    """
    counts, library = folder / f"{part}.callgrind", compile_marks(folder)
    with running_store(folder) as socket:
        inside = [sys.executable, "-m", "benchmarks.instructions.inside", part, str(library), str(socket)]
        command = callgrind_command(inside, counts, "--instr-atstart=no", "--collect-atstart=no")
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=fixed_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if ran.returncode != 0:
        raise RuntimeError(f"the count of the {part} failed:\n{ran.stdout[-3000:]}")
    return figures(read_dumps(counts))


def figures(dumps: list[tuple[str, int]]) -> Figures:
    """Return the instructions per job of each label, from dumps that are labelled with what was done and how often."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for label, instructions in dumps:
        what, _, times = label.rpartition(" ")
        if times.isdigit():
            found[what].append((int(times), instructions))
    return {what: round(median(_differences(counts))) for what, counts in sorted(found.items())}


def _differences(counts: list[tuple[int, int]]) -> list[float]:
    pairs = zip(counts[::2], counts[1::2], strict=True)
    return [(twice - once) / (more - times) for (times, once), (more, twice) in pairs]
