"""Keep standard output for what a command says: what plugins print meanwhile goes to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """Send to standard error what is printed, and what is written to descriptor 1, by this process or its children."""
    with contextlib.ExitStack() as stack:
        sys.stdout.flush()
        try:
            kept = os.dup(1)
        except OSError:  # there is no standard output
            pass
        else:
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            os.dup2(2, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
