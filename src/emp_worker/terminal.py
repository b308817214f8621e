"""Show on a terminal what a handler says while it runs: a bar on a terminal, lines elsewhere, all on standard error."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from emp_core.cli.output import escaped


class Terminal:
    """Hears progress and log lines of one attempt, from any thread; use it as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._line = TaskID(0)
        self._said: Any = None

    def __enter__(self) -> Self:
        """Begin to show."""
        if sys.stderr.isatty():
            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
            self._bar = Progress(*columns, TextColumn("{task.description}", markup=False), console=self._console)
            self._line = self._bar.add_task("", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self.leave()

    def leave(self) -> None:
        """Leave the terminal as it was, before the process ends."""
        if self._bar is not None:
            self._bar.stop()

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Show how far the handler is."""
        said = None if message is None else escaped(message)
        if self._bar is not None:
            self._bar.update(self._line, completed=fraction, description=said)
        else:
            shown = "" if fraction is None else f"{fraction:.0%} "
            self._print(f"{shown}{said or ''}".rstrip())

    def log(self, line: bytes) -> None:
        """Show a line of the job's log."""
        written = json.loads(line)
        self._print(f"{written['level']}: {escaped(written['message'])}")

    def save(self, handle: bytes) -> Future[None]:
        """Show the handle that the handler wants to keep."""
        self._print(f"handle: {escaped(handle.decode()) or 'none'}")
        stored: Future[None] = Future()
        stored.set_result(None)
        return stored

    def _print(self, line: str) -> None:
        # The console moves the bar down; as text, since a message may hold what looks like markup.
        self._console.print(Text(f"{time.strftime('%H:%M:%S')} {line}"), soft_wrap=True)
