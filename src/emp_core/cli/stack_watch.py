"""Keep a development stack running: what crashes starts again, and server and worker do when the code changes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

import click

from emp_core.cli.code_changes import code_places, ticks
from emp_core.cli.dev_settings import DevSettings
from emp_core.cli.restarts import Restarts
from emp_core.cli.stack import SERVER, WORKER, Stack
from emp_core.store.embedded import EmbeddedStore

STORE: Final = "store"
CANNOT_START: Final = 2
"""The exit code by which a part says that starting it again will not help."""
NO_PLUGIN: Final = (
    "no plugin is installed, so nothing performs jobs: install one (in a checkout of EMP:"
    " pip install ./plugins/emp-plugin-simulation), then start emp dev again"
)


class StackWatch:
    """Watches a store, a server and a worker, and tells a person (`say`) what it does about them."""

    def __init__(self, settings: DevSettings, store: EmbeddedStore, stack: Stack, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._store = store
        self._stack = stack
        self._say = say
        self._restarts = Restarts()
        self._is_ready = False
        self._has_answered = False
        self._is_told = False
        self._is_first_code = True

    def run(self) -> None:
        """Watch until an interrupt.

        Raises:
            click.ClickException: the server or the worker cannot start.
            EmbeddedStoreError: the store has ended, and cannot be started again.
        """
        for has_changed in ticks(code_places() if self._settings.reload else []):
            if has_changed:
                self._reload()
            self._see_who_ended()
            for part in self._restarts.due(time.monotonic()):
                self._start(part)
            if not self._is_ready and self._stack.is_ready():
                self._is_ready = self._has_answered = True
            # Who is told too early submits a job of a type that nobody has announced yet.
            if self._is_ready and not self._is_told and self._stack.is_staffed():
                self._is_told = True
                where = f"data in {self._settings.data_dir}; store for other processes: {self._store.url}"
                self._say(f"EMP answers at {self._stack.url}; {where}")
                self._say("Ctrl-C ends it")

    def _reload(self) -> None:
        self._say("the code has changed; starting server and worker again")
        self._restarts.forget()
        self._stack.stop()
        self._stack.start()
        self._is_ready = self._has_answered = self._is_told = self._is_first_code = False

    def _see_who_ended(self) -> None:
        if not self._store.is_running and not self._restarts.is_waiting(STORE):
            self._store.stop()
            self._restart(STORE, "the store has ended")
        for part, code in self._stack.ended().items():
            self._ended(part, code)

    def _ended(self, part: str, code: int) -> None:
        """Start a part again, unless that will not help: then a change of code, or of what is installed, has to."""
        how = f"emp {part} {_how(code)}"
        is_server = part == SERVER
        if code != CANNOT_START and not (is_server and code > 0 and not self._has_answered):
            self._is_ready = self._is_ready and not is_server
            self._is_told = self._is_told and not is_server
            self._restart(part, how)
        elif part == WORKER and not entry_points(group="emp_worker"):
            self._say(NO_PLUGIN)
        elif self._settings.reload and not (is_server and self._is_first_code):
            self._say(f"{how}, its reason is above; it starts again when the code changes")
        else:
            raise click.ClickException(f"{how}; its reason is above")

    def _restart(self, part: str, how: str) -> None:
        seconds = self._restarts.ended(part, time.monotonic())
        self._say(f"{how}; it starts again in {seconds:g} s")

    def _start(self, part: str) -> None:
        if part == STORE:
            self._store.start()
        else:
            self._stack.start_part(part)


def _how(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
