"""What the parts of the count share: their figures, and the stores that they run beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.instructions.callgrind import fixed_environment
from benchmarks.processes import Program
from emp_core.store.embedded import find_binary

Figures = dict[str, int]
"""Instructions per job, by what is done for it."""
SIZES: Final = (1, 2) * 5
"""What a Python part does one after the other: N jobs, 2N jobs, and again."""
_START_TIMEOUT: Final = 120.0


@contextmanager
def running_store(folder: Path, command: Callable[[Sequence[str]], list[str]] = list) -> Iterator[Path]:
    """Run a store without persistence and with as few timers as can be; yields its unix socket.

    Args:
        folder: where its socket and its log are.
        command: makes the command that runs the store of the command that would run it alone.

    Raises:
        RuntimeError: it did not start.
    """
    socket = folder / "store.sock"
    keep_nothing = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
    be_the_same = ["--hz", "1", "--activerehashing", "no", "--hash-seed", "emp", "--loglevel", "warning"]
    server = [str(find_binary()), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    program = Program(command([*server, *keep_nothing, *be_the_same]), fixed_environment(), folder / "store.log")
    try:
        until = time.monotonic() + _START_TIMEOUT
        while not socket.exists():
            program.check()
            if time.monotonic() > until:
                raise RuntimeError(f"the store did not start within {_START_TIMEOUT:g} s")
            time.sleep(0.02)
        yield socket
    finally:
        program.stop()
