"""How long a handler gets to end after it was told to, where it can be made to: in a child process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds from being told to end until the child process gets SIGTERM, and until its process group is killed."""

    terminate: float
    kill: float


CALLED_OFF: Final = Patience(terminate=2.0, kill=7.0)
"""For a cancel: the handler may put things in order."""

OVERDUE: Final = Patience(terminate=0.5, kill=0.8)
"""For a time limit, the worker's end and a lost lease: the handler has had its time, and somebody waits."""
