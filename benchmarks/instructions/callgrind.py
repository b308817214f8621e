"""Run a program under valgrind's callgrind, and read how many instructions it executed between marks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r"^part: \d+$", re.MULTILINE)
_TRIGGER: Final = re.compile(r"^desc: Trigger: (?:Client Request: )?(.*)$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)


class MissingTool(Exception):
    """A program that the count needs is not installed."""


def callgrind_command(program: Sequence[str], counts: Path, *options: str) -> list[str]:
    """Return the command that runs a program under callgrind and appends each dump to the file `counts`.

    Raises:
        MissingTool: valgrind is not installed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MissingTool("valgrind is not installed. Install it (Debian: apt install valgrind).")
    own = ["--tool=callgrind", "--combine-dumps=yes", f"--callgrind-out-file={counts}"]
    return [valgrind, *own, *options, *program]


def fixed_environment() -> dict[str, str]:
    """Return an environment in which a program executes the same instructions in every run."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    # Without the tunables, memcpy and its kind are made for the processor that they run on.
    tunables = "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM"
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "GLIBC_TUNABLES": tunables}


def read_dumps(counts: Path) -> list[tuple[str, int]]:
    """Return the trigger and the number of instructions of each dump in a file, in order.

    Raises:
        ValueError: the file is not one that callgrind wrote.
    """
    dumps = []
    for part in _PART.split(counts.read_text(errors="replace"))[1:]:
        trigger, total = _TRIGGER.search(part), _TOTAL.search(part)
        if trigger is None or total is None:
            raise ValueError(f"{counts}: a dump has no trigger or no total")
        dumps.append((trigger[1], int(total[1])))
    return dumps
