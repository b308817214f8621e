"""Start programs that end when the process that started them ends, however it ends (kill -9 included).

The tie is set up between fork and exec by running this file as a script (`tied.py TIE PARENT PROGRAM [ARGUMENT]...`),
since Python code in a forked child of a process with threads (`preexec_fn`) may deadlock. There are two ties:

`signal`: the kernel sends SIGTERM when the parent ends (Linux). To the kernel the parent is the *thread* that started
          us, so it is for main threads only.
`pipe`:   a watchdog process waits for the end of standard input, of which the parent holds the other end.

SIGTERM, not SIGKILL: a store then writes out what it holds, and a worker gives its jobs back.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1


def start_tied(
    command: Sequence[str],
    *,
    output: IO[bytes] | None = None,
    env: dict[str, str] | None = None,
    umask: int = -1,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program (its full path comes first) in a session of its own; it gets no Ctrl-C from our terminal.

    Args:
        command: the program and its arguments.
        output: where its standard output and error go; None is where ours go.
        env: its environment; None is ours.
        umask: its file mode mask; -1 is ours.
        keep_open: file descriptors that it inherits.
    """
    by_signal = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    # -I -S: this file needs only the standard library, and nothing of the user's Python set-up.
    launcher = [sys.executable, "-I", "-S", __file__, "signal" if by_signal else "pipe", str(os.getpid())]
    return subprocess.Popen(  # noqa: S603  # the callers choose programs from settings, never from data
        [*launcher, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=env,
        umask=umask,
        pass_fds=keep_open,
        start_new_session=True,
    )


def end_tied(process: subprocess.Popen[bytes], how: signal.Signals, timeout: float) -> None:
    """Send a signal to a tied process and wait for its end; what is left of it after `timeout` seconds is killed."""
    process.send_signal(how)
    # A stopped process acts on a signal only when it goes on.
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _tie_by_signal(parent: int) -> None:
    """Ask the kernel to end this process with its parent; the request survives exec."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have ended before the request stood; no signal comes then.
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended")


def _tie_by_pipe() -> None:
    """Leave a watchdog behind that ends this process when standard input ends."""
    program = os.getpid()
    if os.fork() != 0:
        return
    # Only our end of the pipe: an open log or terminal would keep whoever reads it waiting.
    for descriptor in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    while os.read(0, 1):
        pass
    # The program is the watchdog's parent until it ends; asking so is safe from a process id that was used again.
    if os.getppid() == program:
        os.kill(program, signal.SIGTERM)
    os._exit(0)


def _become(tie: str, parent: str, program: str, *arguments: str) -> None:
    """Set up the tie and become the program."""
    if tie == "signal":
        _tie_by_signal(int(parent))
    else:
        _tie_by_pipe()
    os.execv(program, [program, *arguments])  # noqa: S606  # no shell: this is the point


if __name__ == "__main__":
    _become(*sys.argv[1:])
