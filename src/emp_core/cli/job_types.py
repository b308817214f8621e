"""`emp types` and `emp type`: what can be submitted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from emp_core.cli.connecting import connect, url_option
from emp_core.cli.output import escaped, json_option, print_fields, print_json, print_table

if TYPE_CHECKING:
    from emp_core.client import JobTypeView

COLUMNS: Final = ("TYPE", "TITLE", "WORKERS", "PLUGIN", "VERSION", "PAUSED")
_ONLY_OF_ONE: Final = {"payload_schema", "result_schema", "examples"}


@click.command()
@json_option
@url_option
def types(as_json: bool, url: str | None) -> None:
    """List the job types that can be submitted."""
    with connect(url) as client:
        found = client.job_types()
    if as_json:
        print_json([each.model_dump(mode="json", exclude=_ONLY_OF_ONE) for each in found])
        return
    print_table(COLUMNS, map(_row, found))


def _row(found: JobTypeView) -> tuple[object, ...]:
    paused = "paused" if found.paused else ""
    return found.job_type, found.title, found.workers_online, found.distribution, found.version, paused


@click.command(name="type")
@click.argument("name", metavar="TYPE")
@json_option
@url_option
def show_type(name: str, as_json: bool, url: str | None) -> None:
    """Show a job type: its schemas, and an example."""
    with connect(url) as client:
        found = client.job_type(name)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_fields(found.model_dump(exclude=_ONLY_OF_ONE))
    for title, schema in (("payload", found.payload_schema), ("result", found.result_schema)):
        if schema is not None:
            click.echo(f"\n{title}:")
            print_json(schema)
    click.echo(f"\nexample:\n{escaped(_example(found))}")


def _example(found: JobTypeView) -> str:
    """Give a command that submits the type: its own first example, or its required fields as blanks."""
    if found.examples:
        payload = json.dumps(found.examples[0]).replace("'", "'\\''")
        return f"emp submit {found.job_type} '{payload}'"
    required = (found.payload_schema or {}).get("required", ())
    return " ".join([f"emp submit {found.job_type}", *(f"-p {field}=..." for field in required)])
