"""Logs: events with fields, as JSON lines or for people, on standard error. All that a process logs goes through here.

Payloads are never logged; control characters are escaped, so that what a client sent cannot forge a line or drive a
terminal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

import structlog
from structlog.typing import Processor

_about: ContextVar[Mapping[str, Any]] = ContextVar("emp_log_about", default={})  # noqa: B039 - never changed
_KEPT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


class LogSettings(Protocol):
    """What a process's settings say of its logs; see `emp_core.settings.StoreSettings`."""

    @property
    def log_format(self) -> str:
        """`json`, `console`, or `auto`: console on a terminal."""

    @property
    def log_level(self) -> str:
        """The least level that is logged."""


def concern(**fields: Any) -> None:
    """Let all that is logged from here on in this task, and in what it starts, carry these fields and no others.

    One variable for all of them: structlog's own `bind_contextvars` sets one for each, and this is done for every job.
    """
    _about.set(fields)


def _merge_about(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what the task concerns; what a line says itself stands."""
    for name, value in _about.get().items():
        event.setdefault(name, value)
    return event


def escaped(text: str) -> str:
    """Write control characters, and what turns the direction of writing, as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _KEPT.get(char, f"\\u{ord(char):04x}") for char in text)


def _escape_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and name != "exception":
            event[name] = escaped(value)
    return event


class _Stream:
    """Standard error on a descriptor of its own: a handler may close the usual one, whose number the next socket gets.

    What cannot be written is lost: a full disk, or a reader that has gone, ends no worker.
    """

    def __init__(self) -> None:
        self._file: TextIO = sys.stderr
        with contextlib.suppress(AttributeError, OSError, ValueError):  # there is none, or it is no file
            own = os.dup(sys.stderr.fileno())
            self._file = os.fdopen(own, "w", buffering=1, encoding="utf-8", errors="backslashreplace")

    def write(self, text: str) -> None:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._file.flush()


def configure(settings: LogSettings, also: Sequence[Processor] = ()) -> None:
    """Send this process's logs, those of libraries too, to standard error in the form that the settings say.

    Args:
        settings: what the settings say of logs.
        also: what adds further fields to each line.
    """
    stream: Any = _Stream()
    is_console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _merge_about,
        *also,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _escape_values,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if is_console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
