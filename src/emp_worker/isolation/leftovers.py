"""Find and kill the processes that a handler has started and left behind. Linux; elsewhere they end with the child."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
_GONE_WITHIN: Final = 1.0
_PAUSE: Final = 0.002


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends, so that one that left our process group is found too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> frozenset[int]:
    """Give the process ids of all our descendants, ended ones that nobody has waited for included."""
    if sys.platform != "linux" or not _has_children():
        return frozenset()
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name in brackets may hold anything; the parent is the second word after it.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    wave = {os.getpid()}
    while wave := {pid for pid, parent in parents.items() if parent in wave}:
        found |= wave
    return frozenset(found)


def kill_new(before: frozenset[int]) -> bool:
    """Kill the descendants that were not there before; tells whether none is left."""
    deadline = time.monotonic() + _GONE_WITHIN
    while new := descendants() - before:
        if time.monotonic() > deadline:
            return False
        for pid in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # not ours until its own parent has ended
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_PAUSE)
    return True


def _has_children() -> bool:
    """Ask the kernel, which costs a microsecond; after most jobs there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
