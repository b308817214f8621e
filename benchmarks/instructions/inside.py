"""The program that runs under callgrind: `python -m benchmarks.instructions.inside PART LIBRARY STORE`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.instructions.lockstep import Clock, Lockstep
from benchmarks.instructions.marks import Marks


def main() -> None:
    """Do the work of one part on a loop of its own."""
    part, library, store = sys.argv[1:]
    clock = Clock()
    clock.install()
    # After the clock: some modules take functions out of `time` when they are imported.
    if part == "server":
        from benchmarks.instructions.server_work import work  # noqa: PLC0415
    else:
        from benchmarks.instructions.worker_work import work  # noqa: PLC0415
    marks = Marks(Path(library))
    loop = Lockstep(clock, marks, Path(store))
    loop.run_until_complete(work(marks, Path(store)))
    loop.close()


if __name__ == "__main__":
    main()
