"""`emp jobs`: list jobs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from emp_core.cli.connecting import connect, url_option
from emp_core.cli.output import json_option, print_json, print_table
from emp_core.jobs import JobState

if TYPE_CHECKING:
    from emp_core.client import JobView

RUNNING: Final = "running"
STATES: Final = (RUNNING, *(state.value for state in JobState))
COLUMNS: Final = ("ID", "TYPE", "STATE", "PRIORITY", "PROGRESS", "ATTEMPT", "CREATED", "WORKER")


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--type", "job_type", help="Only jobs of this type; needs --state pending or a final one.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--worker", help="Only jobs that this worker holds.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The most jobs to list."
)
@json_option
@url_option
def jobs(limit: int, as_json: bool, url: str | None, **wanted: str | None) -> None:
    """List jobs.

    Waiting jobs come in the order of their claim, others newest first.
    Without a filter: what runs, what waits, what ended.
    """
    with connect(url) as client:
        shown = list(islice(client.jobs(**wanted), limit))
    if as_json:
        print_json([job.model_dump(mode="json", exclude=_ONLY_OF_ONE) for job in shown])
    else:
        print_table(COLUMNS, map(_row, shown))


_ONLY_OF_ONE: Final = {"result", "error", "attempts", "position", "warnings"}
"""Fields that a list does not bring."""


def _row(job: JobView) -> tuple[object, ...]:
    progress = f"{job.progress.fraction:.0%}"
    attempt = f"{job.attempt}/{job.max_attempts}"
    return job.id, job.job_type, job.state.value, job.priority, progress, attempt, job.created_at, job.worker_id
