"""`emp workers`: who works, and who should stop."""

from __future__ import annotations

from typing import Final

import click

from emp_core.cli.connecting import connect, url_option
from emp_core.cli.output import json_option, note, print_json, print_table

COLUMNS: Final = ("ID", "NAME", "STATUS", "HOST", "PID", "HELD", "SLOTS", "STARTED")

_TROUBLES: Final = {
    "blocks_loop": "blocks the event loop; the worker's other jobs stand still",
    "ignores_end": "goes on although it was told to end, and keeps its slot",
}


@click.group(invoke_without_command=True)
@json_option
@url_option
@click.pass_context
def workers(ctx: click.Context, as_json: bool, url: str | None) -> None:
    """List the workers, or drain one."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(url) as client:
        found = client.workers()
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    print_table(
        COLUMNS,
        ((w.id, w.name, w.status, w.host, w.pid, w.held, w.slots, w.started_at) for w in found),
    )
    for each in found:
        for trouble in each.troubles:
            note(f"{each.id}: job {trouble.job_id} ({trouble.job_type}) {_TROUBLES.get(trouble.what, trouble.what)}")


@workers.command()
@click.argument("worker_id", metavar="ID")
@url_option
def drain(worker_id: str, url: str | None) -> None:
    """Ask a worker to claim no more jobs, finish those it has, and end."""
    with connect(url) as client:
        client.drain(worker_id)
    note(f"Worker {worker_id} has been asked to drain.")
