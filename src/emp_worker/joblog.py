"""Turn what a handler logs into lines that are kept with its job, within limits."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

LINE_LIMIT: Final = 1_000
BYTES_LIMIT: Final = 256 * 1024
MESSAGE_LIMIT: Final = 16 * 1024
DROPPED: Final = "the rest of this attempt's log was dropped: it may have 1,000 lines and 256 KiB"


def job_logger(name: str, attempt: int, keep: Callable[[bytes], None]) -> logging.Logger:
    """Make a logger for one attempt; each record goes to `keep` as a JSON object of at, level, message and attempt.

    It stands outside the tree of loggers: a tree would hold one for every job that ever ran.
    """
    logger = logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - see above
    logger.addHandler(_LineHandler(attempt, keep))
    return logger


class _LineHandler(logging.Handler):
    """Writes records as lines until the attempt's lines or bytes are used up, then says that the rest is dropped.

    `logging.Handler.handle` holds the handler's lock around `emit`, so the counts hold from any thread.
    """

    def __init__(self, attempt: int, keep: Callable[[bytes], None]) -> None:
        super().__init__()
        self._attempt = attempt
        self._keep = keep
        self._lines_left = LINE_LIMIT
        self._bytes_left = BYTES_LIMIT
        self._full = False
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, or say that the limits are reached."""
        if self._full:
            return
        line = self._line(record.created, record.levelname, self._text(record))
        if self._lines_left == 0 or len(line) > self._bytes_left:
            self._full = True
            self._keep(self._line(record.created, "WARNING", DROPPED))
            return
        self._lines_left -= 1
        self._bytes_left -= len(line)
        self._keep(line)

    def _text(self, record: logging.LogRecord) -> str:
        """Give a record's text, cut to its limit; arguments that do not fit the format cost the text, not the job."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - an argument's own code may raise anything
            text = f"(a log line that cannot be written: {type(error).__name__})"
        return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + "..."

    def _line(self, at: float, level: str, message: str) -> bytes:
        members = {
            "at": datetime.fromtimestamp(at, UTC).isoformat(),
            "level": level.lower(),
            "message": message,
            "attempt": self._attempt,
        }
        return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")
