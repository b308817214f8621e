"""Keeps one command: runs it in this process group, says how it ended, and kills the group when its worker is gone.

Run as a script, without the site packages: python -I -S keeper.py TIE REPORT LIMIT PROGRAM [ARGUMENT...]. TIE is a
file descriptor that ends when the worker does; REPORT takes the exit code, or minus the signal; LIMIT is bytes of
memory, or 0.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading

NOT_STARTED = "not started: "


def main() -> None:
    """Run the command, then leave nothing of its group behind, oneself included."""
    tie, report, limit = (int(word) for word in sys.argv[1:4])
    for inherited in (tie, report):
        os.set_inheritable(inherited, False)

    # It is for the command, and reaches the whole group; whoever sends it waits for the command's answer.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def within_limits() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    try:
        child = subprocess.Popen(  # noqa: S603 - an argument list that the operator's file makes, and no shell
            sys.argv[4:],
            preexec_fn=within_limits,  # noqa: PLW1509 - no thread runs yet
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        os.write(report, f"{NOT_STARTED}{error}".encode())
        return
    # The pipes belong to the command alone: whoever reads them sees its end.
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    threading.Thread(target=_until_gone, args=(tie,), daemon=True).start()
    os.write(report, str(child.wait()).encode())
    os.killpg(0, signal.SIGKILL)


def _until_gone(tie: int) -> None:
    os.read(tie, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
