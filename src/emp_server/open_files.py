"""Let a server have as many connections as the system allows it: each waiter and each stream is an open file."""

from __future__ import annotations

import resource


def allow_many_files() -> None:
    """Raise this process's own limit of open files to the hard one; many systems begin with 1,024.

    That is kept low for programs that call select(), which a server does not (systemd.exec(5), "Process Properties").
    """
    own, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if own == most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        # macOS calls the hard limit infinite and refuses it.
        return
