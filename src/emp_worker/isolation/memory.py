"""How much memory this process holds, and a limit on it. Exact on Linux; elsewhere as near as the system tells."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Bytes in one unit of `ru_maxrss`."""


def held_now() -> int:
    """Give the bytes of memory that this process holds now."""
    return _status("VmRSS")


def held_at_most() -> int:
    """Give the bytes of memory that this process has held at most."""
    return _status("VmHWM")


@contextlib.contextmanager
def limited(limit: int | None) -> Iterator[None]:
    """Refuse this process more than so many bytes of memory of its own while the body runs.

    RLIMIT_DATA counts what a process may write to and shares with nobody. RLIMIT_AS would count address space, of which
    threads and libraries reserve gigabytes that they never use.
    """
    if limit is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = limit if before[1] == resource.RLIM_INFINITY else min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def mebibytes(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1024**2:,.0f} MiB"


def _status(name: str) -> int:
    """Read a size from what Linux tells of this process."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
    # ru_maxrss would not do here: it begins with what the process that started us held.
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
