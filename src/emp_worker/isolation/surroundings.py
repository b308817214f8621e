"""Put back what a handler may have changed in its process, so that the next one finds it as the first one did."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

_SIGNALS: Final = tuple(
    number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP} and number < 32
)


class Surroundings:
    """The working directory, file mode mask, signal handlers and standard streams of this process, as they are now.

    To be made and used in the main thread.
    """

    def __init__(self) -> None:
        self._folder = Path.cwd()
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._streams = {number: os.dup(number) for number in (0, 1, 2)}

    def restore(self) -> str:
        """Put everything back; gives why that cannot be done, or nothing."""
        try:
            os.chdir(self._folder)
            os.umask(self._mask)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
            for number, handler in self._handlers.items():
                if signal.getsignal(number) is not handler:
                    _handle(number, handler)
            for stream, kept in self._streams.items():
                os.dup2(kept, stream)
        except OSError as error:
            return f"what the handler changed cannot be put back: {error}"
        sys.stdout = _writing_to(1, sys.stdout)
        sys.stderr = _writing_to(2, sys.stderr)
        return ""


def _handle(number: signal.Signals, handler: Any) -> None:
    # None: not a handler of Python's, which we could not name; the default is the nearest.
    signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _writing_to(number: int, stream: Any) -> Any:
    """Give the stream, or a new one if a handler has closed it."""
    if not stream.closed:
        return stream
    return open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # kept open
