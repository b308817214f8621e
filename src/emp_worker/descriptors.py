"""The file descriptors that a worker process needs, and how many child processes it has enough of them for."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

from emp_core.errors import SettingsError

_OWN: Final = 26
"""Connections to the store, event loops and the pipe to the guard; some of them once more while they are replaced."""
_PER_CHILD: Final = 3
"""Its connection, its output, and the tie that ends it with the worker."""
_STARTING: Final = 4
"""The other ends of these, and the pipe that tells whether the program was found, while a child starts."""
_COMFORTABLE: Final = 1024


def check_descriptors(children: int) -> None:
    """Check that this process may open as many files as a worker with so many child processes needs.

    Raises:
        SettingsError: it may not; the message says how many.
    """
    limit, needed = _limit(), _needed(children)
    if limit < needed:
        advice = max(needed, _COMFORTABLE)
        raise SettingsError(
            f"the worker may open {limit} files and needs {needed}; run `ulimit -n {advice}` before it, or set"
            f" LimitNOFILE={advice} in its systemd unit"
        )


def affordable_children(children: int) -> int:
    """Return for how many more child processes than these there are descriptors."""
    return max(0, (_limit() - _needed(children)) // _PER_CHILD)


def _limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _needed(children: int) -> int:
    open_now = len(list(Path("/dev/fd").iterdir()))
    return open_now + _OWN + _STARTING + _PER_CHILD * children
