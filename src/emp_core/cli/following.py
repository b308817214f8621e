"""Follow a job to its end: wait for it, or show its progress on stderr; Ctrl-C stops the following, not the job."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from emp_core.cli.connecting import PATIENCE_WHILE_WAITING, connect
from emp_core.cli.exit_codes import ExitCode, exit_code_of_job
from emp_core.cli.job_text import print_job
from emp_core.cli.output import escaped, note

if TYPE_CHECKING:
    from emp_core.client import JobUpdate, JobView


def wait_for(url: str | None, job_id: str, seconds: float) -> JobView:
    """Give a job when it has ended; infinity waits for ever.

    Raises:
        WaitTimedOut: the seconds were over before.
    """
    with connect(url, PATIENCE_WHILE_WAITING) as client, leaving_it_running(job_id):
        return client.wait(job_id, None if math.isinf(seconds) else seconds)


def watch(url: str | None, job_id: str) -> JobView:
    """Show a job's updates until it has ended, and give it: a bar on a terminal, lines elsewhere."""
    with connect(url, PATIENCE_WHILE_WAITING) as client, leaving_it_running(job_id):
        show = _show_bar if sys.stderr.isatty() else _show_lines
        show(client.watch(job_id))
        return client.get(job_id)


def finish(job: JobView, *, as_json: bool) -> NoReturn:
    """Print a job, and end the command as the job has ended."""
    print_job(job, as_json=as_json)
    click.get_current_context().exit(exit_code_of_job(job.state, job.reason))


@contextmanager
def leaving_it_running(job_id: str) -> Iterator[None]:
    """Make of Ctrl-C the end of the command, and say that the job goes on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal's line holds ^C
        note(f"Stopped watching. Job {job_id} goes on: `emp job watch {job_id}`, `emp job cancel {job_id}`.")
        click.get_current_context().exit(ExitCode.INTERRUPTED)


def _show_lines(updates: Iterable[JobUpdate]) -> None:
    for update in updates:
        progress = f" {update.progress.fraction:.0%} {update.progress.message}".rstrip()
        note(f"{time.strftime('%H:%M:%S')} {update.state}{progress}")


def _show_bar(updates: Iterable[JobUpdate]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[state]}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task("", total=1.0, state="")
        for update in updates:
            bar.update(
                line,
                completed=update.progress.fraction,
                description=escaped(update.progress.message),
                state=update.state.value,
            )
