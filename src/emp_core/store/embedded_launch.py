"""Become the embedded store's server, tied to the life of the process that starts it.

Run as a script by `embedded.py`: `embedded_launch.py TIE PARENT PROGRAM [ARGUMENT]...`. The tie is set up here, between
fork and exec, because running Python code in a forked child of a threaded process (`preexec_fn`) may deadlock.

`signal`: the kernel sends SIGTERM when the parent ends (Linux only). It means the parent's *thread* that started us, so
         it is for main threads.
`pipe`:  a small watchdog process waits for the end of standard input, of which the parent holds the other end.

SIGTERM, not SIGKILL: the server then writes out what it holds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie_by_signal(parent: int) -> None:
    """Ask the kernel to end this process with its parent; the request survives exec."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have ended before the request stood; no signal comes then.
    if os.getppid() != parent:
        sys.exit("the process that started the store has ended")


def tie_by_pipe() -> None:
    """Leave a watchdog behind that ends this process when standard input ends."""
    server = os.getpid()
    if os.fork() != 0:
        return
    # Only our own end of the pipe: an open log or terminal would keep whoever reads it waiting.
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    while os.read(0, 1):
        pass
    # The server is the watchdog's parent until it ends; asking so is safe from a process id that was used again.
    if os.getppid() == server:
        os.kill(server, signal.SIGTERM)
    os._exit(0)


def main(tie: str, parent: str, program: str, *arguments: str) -> None:
    """Set up the tie and become the program. What it writes is its owner's alone."""
    os.umask(0o077)
    if tie == "signal":
        tie_by_signal(int(parent))
    else:
        tie_by_pipe()
    os.execv(program, [program, *arguments])  # noqa: S606  # no shell: this is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
