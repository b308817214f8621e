"""`emp dev`: the whole stack on one machine, for development."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emp_core.cli.dev_settings import DevSettings
    from emp_core.cli.stack import Stack


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="The port of the server; 0 takes a free one.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where the store keeps its data.")
@click.option("--reload/--no-reload", default=None, help="Start server and worker again when their code changes.")
def dev(port: int | None, data_dir: Path | None, reload: bool | None) -> None:
    """Run an embedded store, the server and a worker with the installed plugins until Ctrl-C.

    The data is kept between runs. A part that crashes starts again. A second Ctrl-C does not wait for running jobs.
    """
    from emp_core.cli.dev_settings import DevSettings
    from emp_core.settings import load

    run_dev(load(DevSettings, port=port, data_dir=data_dir, reload=reload))


def run_dev(settings: DevSettings) -> None:
    """Run the stack until somebody interrupts it; then stop worker, server and store in this order.

    Raises:
        EmbeddedStoreError: the store cannot be started.
        click.ClickException: the port is taken, or the server or the worker cannot start.
    """
    from emp_core.cli.stack import Stack
    from emp_core.cli.stack_watch import StackWatch
    from emp_core.store.embedded import EmbeddedStore

    _refuse_taken(settings.port)
    interrupts = Interrupts()
    with (
        suppress(KeyboardInterrupt),
        EmbeddedStore(settings.data_dir, binary=settings.store_binary) as store,
        Stack(store.url, settings.namespace, port=settings.port) as stack,
    ):
        interrupts.stack = stack
        try:
            StackWatch(settings, store, stack, _say).run()
        except KeyboardInterrupt:
            _say("stopping; a second Ctrl-C does not wait for running jobs")
    _say("stopped")


def _refuse_taken(port: int) -> None:
    """Look at the port before anything starts: else the server that has it would answer for ours."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        told = f"cannot listen on 127.0.0.1 port {port}: {error.strerror}"
        raise click.ClickException(f"{told}; stop what has it, or take another one with --port") from error


class Interrupts:
    """Makes KeyboardInterrupt of the first SIGINT, SIGTERM or SIGHUP; a later one does not wait for the stack's grace.

    A second KeyboardInterrupt would break off the stop that the first one began, and leave processes behind.
    """

    def __init__(self) -> None:
        self.stack: Stack | None = None
        self._interrupted = False
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, self._on_signal)

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt
        if self.stack is not None:
            self.stack.hurry()


def _say(line: str) -> None:
    click.echo(f"emp dev: {line}", err=True)
