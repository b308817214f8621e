"""The guard: a small process that kills the groups of a worker's children when the worker ends, however it ends.

A child notices the end of its worker by itself (see `emp_core.tied`), unless its handler ignores SIGTERM and holds the
interpreter; and its handler's own subprocesses notice nothing. The guard has the other end of a pipe to the worker,
reads there which groups there are, and acts when the pipe ends.

The file is run as a script and needs only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import IO


class Guard:
    """The worker's side. The process is started with the first group."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Kill this process group should the worker end."""
        if self._process is None:
            # -I -S: nothing of the user's Python set-up. A session of its own: no signal for the worker reaches it.
            self._process = subprocess.Popen(  # noqa: S603  # this very file
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group has ended; its number may be given to others."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard; whatever it still watches is killed."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        # Should somebody have killed the guard, the children still have their own tie to the worker.
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


def _guard(lines: IO[str]) -> None:
    """Keep the list of groups until the worker ends, then kill them."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    _guard(sys.stdin)
