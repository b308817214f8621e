"""`emp job`: look at one job, or act on it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from emp_core.cli.connecting import PATIENCE_WHILE_WAITING, connect, url_option
from emp_core.cli.following import finish, leaving_it_running
from emp_core.cli.following import watch as follow
from emp_core.cli.job_text import print_job
from emp_core.cli.output import cell, escaped, json_option, note, print_json

if TYPE_CHECKING:
    from emp_core.client import LogLine

LOG_PAUSE: Final = 1.0
"""Seconds between two looks at a log that is followed."""


@click.group()
def job() -> None:
    """Look at one job, or act on it."""


@job.command()
@click.argument("job_id", metavar="ID")
@json_option
@url_option
def show(job_id: str, as_json: bool, url: str | None) -> None:
    """Show a job as it is now, with its attempts and, for a failed one, the whole error."""
    with connect(url) as client:
        print_job(client.get(job_id), as_json=as_json, whole=True)


@job.command()
@click.argument("job_id", metavar="ID")
@json_option
@url_option
def watch(job_id: str, as_json: bool, url: str | None) -> None:
    """Show a job's progress on stderr until its end, print it, and exit as it did.

    Exits with 3 if it failed, and with 4 if it was cancelled or expired.
    """
    finish(follow(url, job_id), as_json=as_json)


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job has ended.")
@json_option
@url_option
def log(job_id: str, following: bool, as_json: bool, url: str | None) -> None:
    """Print what a job's handler has logged.

    With --json and --follow, one JSON object a line.
    """
    if following:
        _follow_log(url, job_id, as_json=as_json)
        return
    with connect(url) as client:
        lines = client.log(job_id)
    if as_json:
        print_json([line.model_dump(mode="json") for line in lines])
    else:
        _print_lines(lines, as_json=False)


def _follow_log(url: str | None, job_id: str, *, as_json: bool) -> None:
    with connect(url, PATIENCE_WHILE_WAITING) as client, leaving_it_running(job_id):
        shown = 0
        while True:
            # The state first: lines that come between the two looks belong to the last one.
            ended = client.get(job_id).final
            lines = client.log(job_id, start=shown)
            _print_lines(lines, as_json=as_json)
            shown += len(lines)
            if ended:
                return
            time.sleep(LOG_PAUSE)


def _print_lines(lines: list[LogLine], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            click.echo(line.model_dump_json(ensure_ascii=True))
        else:
            click.echo(f"{cell(line.at)}\t{escaped(line.level)}\t{escaped(line.message)}")


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@url_option
def result(job_id: str, output: Path | None, url: str | None) -> None:
    """Print a completed job's result: its JSON, byte for byte except on a terminal."""
    with connect(url) as client:
        content = client.result_bytes(job_id)
    if output is not None:
        try:
            output.write_bytes(content)
        except OSError as error:
            raise click.ClickException(f"cannot write {str(output)!r}: {error.strerror}") from error
    elif sys.stdout.isatty():
        click.echo(escaped(content.decode(errors="replace")))
    else:
        sys.stdout.buffer.write(content)


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--why", default="", help="Kept with the job.")
@json_option
@url_option
def cancel(job_id: str, why: str, as_json: bool, url: str | None) -> None:
    """Call a job off: a waiting one at once, a running one when its handler stops."""
    with connect(url) as client:
        cancelled = client.cancel(job_id, why)
    print_job(cancelled, as_json=as_json)
    if not cancelled.final:
        note(f"Job {job_id} has been asked to stop.")


@job.command()
@click.argument("job_id", metavar="ID")
@json_option
@url_option
def revive(job_id: str, as_json: bool, url: str | None) -> None:
    """Put a failed or cancelled job back into the waiting line."""
    with connect(url) as client:
        print_job(client.revive(job_id), as_json=as_json)
