"""`emp submit`: submit one job, and follow it where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from emp_core.cli.connecting import connect, url_option
from emp_core.cli.durations import DURATION, FOR_EVER, MOMENT, WAIT_LIMIT
from emp_core.cli.following import finish, wait_for, watch
from emp_core.cli.job_text import print_job
from emp_core.cli.output import json_option, note
from emp_core.cli.parameters import Parameter, parse_parameter, read_payload, with_parameters

if TYPE_CHECKING:
    from emp_core.client import EmpClient


@click.command()
@click.argument("job_type", metavar="TYPE")
@click.argument("payload", metavar="[JSON|@file|-]", required=False)
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="Set a field; may be repeated."
)
@click.option("--priority", type=int, help="-1000 to 1000; a higher number is more urgent.")
@click.option("--delay", type=DURATION, help="Start it after this time.")
@click.option("--at", "run_at", type=MOMENT, help="Start it then (ISO 8601; local time without an offset).")
@click.option("--expires-in", type=DURATION, help="Fail it if no worker claims it in this time.")
@click.option("--expires-at", type=MOMENT, help="Fail it if no worker claims it by then.")
@click.option("--timeout", type=DURATION, help="How long an attempt may run.")
@click.option("--max-attempts", type=int, help="How often it may be tried.")
@click.option(
    "--on-worker-lost", type=click.Choice(["retry", "fail"]), help="Try it again if its process dies, or fail it."
)
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--idempotency-key", help="Submitting again with this key gives the first job.")
@click.option(
    "--wait",
    type=WAIT_LIMIT,
    is_flag=False,
    flag_value=FOR_EVER,
    metavar="[DURATION]",
    help="Wait until it ends.",
)
@click.option("--watch", "watching", is_flag=True, help="Show its progress on stderr until it ends.")
@json_option
@url_option
def submit(
    job_type: str,
    payload: str | None,
    parameters: tuple[str, ...],
    wait: float | None,
    watching: bool,
    as_json: bool,
    url: str | None,
    **options: Any,
) -> None:
    """Submit a job.

    The payload is JSON, the file of @file, or standard input for -. Values of -p are laid over it, typed by the job
    type's schema: key=value, a.b=value for a field of an object, key=@file for a file's text or, where the schema takes
    base64, its bytes; @@ is a value's own @.

    Prints the job's id; with --wait or --watch the job when it has ended, and exits as it did: 3 failed, 4 cancelled or
    expired, 5 time ran out.
    """
    if watching and wait is not None:
        raise click.UsageError("--wait and --watch exclude each other")
    if options["delay"] is not None and options["run_at"] is not None:
        raise click.UsageError("--delay and --at exclude each other")
    if options["expires_in"] is not None and options["expires_at"] is not None:
        raise click.UsageError("--expires-in and --expires-at exclude each other")
    text = read_payload(payload)
    fields = [parse_parameter(parameter) for parameter in parameters]
    with connect(url) as client:
        from emp_core.client import RawJson

        # The other options have the names of the client's.
        job = client.submit(job_type, RawJson(_with_fields(client, job_type, text, fields)), **options)
    if "no_worker" in job.warnings:
        note(f"No worker serves {job.job_type} now; job {job.id} waits for one.")
    if watching:
        finish(watch(url, job.id), as_json=as_json)
    if wait is not None:
        finish(wait_for(url, job.id, wait), as_json=as_json)
    if as_json:
        print_job(job, as_json=True)
    else:
        click.echo(job.id)


def _with_fields(client: EmpClient, job_type: str, payload: bytes, fields: list[Parameter]) -> bytes:
    """Lay the fields over the payload; the schema is asked for only where there are some."""
    if not fields:
        return payload
    return with_parameters(payload, fields, client.job_type(job_type).payload_schema or {})
