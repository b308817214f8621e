"""The `emp` command: one group that imports a command when it runs, and none of them to list them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from emp_core.cli.connecting import url_option
from emp_core.cli.output import error_lines, json_option, note
from emp_core.errors import EmpError

ENTRY_POINTS: Final = "emp_commands"


class BuiltIn(NamedTuple):
    """A command of ours: where it is, and the line that `emp --help` shows for it."""

    place: str
    short_help: str


BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    "dev": BuiltIn(
        "emp_core.cli.dev:dev",
        "Run an embedded store, the server and a worker with the installed plugins until Ctrl-C.",
    ),
    "submit": BuiltIn("emp_core.cli.submit:submit", "Submit a job."),
    "jobs": BuiltIn("emp_core.cli.jobs:jobs", "List jobs."),
    "job": BuiltIn("emp_core.cli.job:job", "Look at one job, or act on it."),
    "types": BuiltIn("emp_core.cli.job_types:types", "List the job types that can be submitted."),
    "type": BuiltIn("emp_core.cli.job_types:show_type", "Show a job type: its schemas, and an example."),
    "workers": BuiltIn("emp_core.cli.workers:workers", "List the workers, or drain one."),
    "keys": BuiltIn("emp_core.cli.keys:keys", "List the API keys, or make or revoke one."),
    "login": BuiltIn(
        "emp_core.cli.login:login", "Ask for an API key, try it, and keep it in a file that only you can read."
    ),
    "store": BuiltIn("emp_core.cli.store:store", "Work on the store itself."),
    "doctor": BuiltIn("emp_core.cli.doctor:doctor", "Examine the store: its server, its keys, and who works on it."),
}

OUR_ENTRY_POINTS: Final[Mapping[str, str]] = {
    "server": "Serve the HTTP API until SIGTERM or Ctrl-C.",
    "worker": "Perform jobs of all installed job types, until SIGTERM or Ctrl-C; a second one ends it at once.",
    "plugins": "List the installed plugins: their job types, their state and, for failures, why.",
    "plugin": "Work on plugins.",
}
"""The help lines of what emp_server and emp_worker bring, so that listing them imports neither."""


class LazyGroup(click.Group):
    """Finds commands in the table and among the entry points, and ends every command's errors in one place."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name the commands: ours in the order of the table, then those of other packages."""
        return [*BUILT_IN, *sorted(_added())]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].place.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        elif (entry := _added().get(name)) is not None:
            found = _load(entry)
        else:
            return None
        if not isinstance(found, click.Command):
            raise click.ClickException(f"`emp {name}` is not a command: {found!r}")
        return found

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        added = _added()  # once: it reads the metadata of all that is installed
        lines = [(name, each.short_help) for name, each in BUILT_IN.items()]
        lines += [(name, _help_line(added[name])) for name in sorted(added)]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that EMP raises on purpose becomes lines on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except EmpError as error:
            from emp_core.cli.exit_codes import exit_code_of

            for line in error_lines(error):
                click.echo(line, err=True)
            ctx.exit(exit_code_of(error))
        except BrokenPipeError:
            raise  # click ends quietly: who read our output has had enough
        except OSError as error:
            click.echo(f"Error: cannot read or write: {error.strerror}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            from emp_core.cli.exit_codes import ExitCode

            ctx.exit(ExitCode.INTERRUPTED)


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS) if entry.name not in BUILT_IN}


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise click.ClickException(f"`emp {entry.name}` ({entry.value}) cannot be loaded: {error}") from error


def _help_line(entry: EntryPoint) -> str:
    return OUR_ENTRY_POINTS.get(entry.name) or f"From {entry.dist.name if entry.dist else entry.value}."


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="emp-jobs", prog_name="emp")
@json_option
@url_option
def emp(**_common: Any) -> None:
    """Submit jobs, follow them, and run the parts of EMP.

    Client commands find the server by --url or EMP_URL, and send the key in EMP_API_KEY, else that
    of `emp login`. --url and --json may stand
    before the command or behind it.
    """
    from emp_core.setting_names import ignored_variables

    for line in ignored_variables(os.environ, lambda: entry_points(group="emp_worker").names):
        note(f"Warning: {line}")


def main() -> None:
    """Run the command; the console script `emp`. Of a standard stream that is closed, Python makes None."""
    nothing = Path(os.devnull)
    sys.stdin = sys.stdin or nothing.open()
    sys.stdout = sys.stdout or nothing.open("w")
    sys.stderr = sys.stderr or nothing.open("w")
    emp(prog_name="emp")
