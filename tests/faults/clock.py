"""Clocks that a test moves: a library that is loaded before a process's own C library shifts what it takes for now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def no_clock() -> str:
    """Say what is missing for a clock that can be moved."""
    if sys.platform != "linux":
        return "clocks are moved on Linux only"
    return "" if shutil.which("cc") else "there is no C compiler (cc)"


class Clock:
    """The clock of the processes that are started with `env`."""

    def __init__(self, name: str, folder: Path) -> None:
        self._file = folder / f"{name}.clock"
        self._library = folder / "clock.so"
        self.move(0)
        if not self._library.exists():
            source = Path(__file__).with_name("clock.c")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self._library, source, "-ldl"], check=True)

    @property
    def env(self) -> dict[str, str]:
        """Give the variables that put a process under this clock."""
        return {"LD_PRELOAD": str(self._library), "EMP_TEST_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """Let it be so many seconds later than it is, at once."""
        with self._file.open("r+b" if self._file.exists() else "w+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))
