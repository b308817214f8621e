"""Bounds on how fast processes are back, on a machine that other tests keep busy."""

from __future__ import annotations

import subprocess
import sys
import time


def allowed(seconds: float, *, starts: int) -> float:
    """Give a bound in seconds; a machine that is busy now gets as long as so many starts of a process take on it."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import emp_worker.isolation_child"], check=True)
    return max(seconds, starts * (time.monotonic() - began))
