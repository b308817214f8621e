"""`emp plugin`: what authors of plugins do with them."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emp_core.cli.connecting import connect
from emp_core.cli.output import escaped, json_option, note, print_json, print_table

if TYPE_CHECKING:
    from emp_worker.plugins import Plugins
    from emp_worker.testing import JobRun


def load_installed() -> Plugins:
    """Load the plugins that the settings want, each tried in a child process before; says which are not installed.

    Raises:
        SettingsError: a setting is wrong.
    """
    from emp_core.settings import load
    from emp_worker.plugins import load_plugins
    from emp_worker.settings import PluginSettings

    settings = load(PluginSettings)
    plugins = load_plugins(
        only=settings.plugins,
        disabled=settings.plugins_disabled,
        prefer=settings.plugins_prefer,
        import_limit=settings.plugins_import_limit,
    )
    for name in plugins.absent:
        note(f"Warning: EMP_PLUGINS names {name}, and no installed plugin has this name")
    return plugins


@click.group()
def plugin() -> None:
    """Work on plugins."""


@plugin.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The folder to write it into; else the one you are in.",
)
def new(name: str, into: Path) -> None:
    """Write the package of a new plugin with one job type and its tests; prints its folder.

    What exists is never touched.
    """
    from emp_worker.new_plugin import named, write_package

    try:
        wanted = named(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    folder = write_package(wanted, into)
    click.echo(str(folder))
    note(f"Install it: pip install --editable {folder}")
    if importlib.util.find_spec("pytest") is None:
        note("Its tests need more than is installed: pip install 'emp-jobs[testing]'")
    note(
        f"Then: pytest {folder}, emp plugin check {wanted.name} --run, emp plugin test {wanted.job_type} -p text=hello"
    )


@plugin.command()
@click.argument("name", required=False)
@click.option("--run", is_flag=True, help="Perform the handlers on their examples, too, each type in a child process.")
@click.option("--payload", metavar="JSON|@file|-", help="With --run: perform this in place of a type's examples.")
@click.option(
    "--against",
    metavar="URL",
    help="Compare with what this server announces, too: would the payloads of waiting jobs still fit?",
)
@json_option
def check(name: str | None, run: bool, payload: str | None, against: str | None, as_json: bool) -> None:
    """Check plugins against the contract: all, or the one of this NAME (distribution, entry point or job type).

    Exits 1 if a check failed, and 6 if no plugin has this name.
    """
    from emp_core.cli.exit_codes import ExitCode
    from emp_core.cli.parameters import read_payload
    from emp_worker.plugin_check import COLUMNS, Wanted, check_plugins, meant

    if payload is not None and not run:
        raise click.UsageError("--payload is performed with --run")
    instead = None if payload is None else read_payload(payload)
    plugins = load_installed()
    if instead is not None and sum(len(types) for _, types in meant(plugins, name)) > 1:
        raise click.UsageError("--payload is of one job type; name it")
    with contextlib.nullcontext() if against is None else connect(against) as server:
        rows = list(check_plugins(plugins, name, Wanted(run, instead, server)))
    if as_json:
        print_json(rows)
    else:
        print_table([each.upper() for each in COLUMNS], [[row[each] for each in COLUMNS] for row in rows])
    if not rows:
        note("no plugin is loaded" if name is None else f"no plugin or job type is named {name}")
        sys.exit(ExitCode.NOT_FOUND)
    if instead is None and any((row["check"], row["verdict"]) == ("run", "failed") for row in rows):
        note("Where an example needs what is not here, perform another payload with --payload.")
    if any(row["verdict"] == "failed" for row in rows):
        sys.exit(ExitCode.ERROR)


@plugin.command()
@click.argument("name")
@click.option("--payload", metavar="JSON|@file|-", help="The payload: JSON, a file with it, or standard input.")
@click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="KEY=VALUE", help="Set a field; may be repeated."
)
@click.option("--attempt", type=click.IntRange(1), default=1, show_default=True, help="Which attempt to perform.")
@json_option
def test(name: str, payload: str | None, parameters: tuple[str, ...], attempt: int, as_json: bool) -> None:
    """Perform a handler once, here, without a store; NAME is a job type, or a plugin that has one.

    Shows progress and log on stderr and prints the result. -p is as in `emp submit`; without any payload it takes the
    first example. Ctrl-C calls the job off, and a second one ends the command. Exits 3 if it failed, and 9 if the
    payload does not fit.
    """
    import json

    from emp_core.cli.exit_codes import ExitCode
    from emp_core.cli.parameters import parse_parameter, read_payload, with_parameters
    from emp_worker.interrupting import interruptible
    from emp_worker.stdout_guard import stdout_as_stderr
    from emp_worker.terminal import Terminal
    from emp_worker.testing import run_job_async

    job_type = _chosen(load_installed(), name)
    fields = [parse_parameter(parameter) for parameter in parameters]
    if payload is None and not fields and job_type.examples:
        text = json.dumps(job_type.examples[0]).encode()
    else:
        text = with_parameters(read_payload(payload), fields, job_type.payload_schema)
    with stdout_as_stderr(), Terminal() as terminal:
        most = max(attempt, job_type.max_attempts)
        run = interruptible(
            run_job_async(job_type, text, attempt=attempt, max_attempts=most, reporter=terminal), terminal.leave
        )
    if run is None:
        note("Cancelled.")
        sys.exit(ExitCode.INTERRUPTED)
    if as_json:
        print_json(_run_as_json(run))
    else:
        _show(run)
    sys.exit(_exit_code(run))


def _chosen(plugins: Plugins, name: str) -> Any:
    """Give the job type that a name means.

    Raises:
        NotFound: none.
        click.UsageError: a plugin that has several.
    """
    from emp_core.errors import NotFound
    from emp_worker.discovery import is_named
    from emp_worker.plugin_check import meant

    if name in plugins.types:
        return plugins.types[name].job_type
    types = [job_type for _, job_types in meant(plugins, name) for job_type in job_types]
    if len(types) == 1:
        return types[0]
    if types:
        raise click.UsageError(f"{name} has several job types: {', '.join(each.name for each in types)}; name one")
    why = [each.why for each in plugins.failures if is_named(each, (name,))]
    raise NotFound("; ".join(why) or f"no installed plugin or job type is named {name}; see `emp plugins`")


def _run_as_json(run: JobRun) -> dict[str, Any]:
    return {
        "outcome": type(run.outcome).__name__.lower(),
        "result": run.result,
        "error": run.error,
        "progress": [{"fraction": each.fraction, "message": each.message} for each in run.progress],
        "log": [{"level": each.level, "message": each.message} for each in run.log],
    }


def _show(run: JobRun) -> None:
    from emp_core.jobs import Completed, Retry

    if isinstance(run.outcome, Completed):
        print_json(run.result)
        return
    error = run.error or {}
    told = [type(run.outcome).__name__, error.get("kind"), error.get("message")]
    note(": ".join(part for part in told if part))
    for fault in error.get("errors", ()):
        note(f"  {fault['pointer'] or '(the whole payload)'}: {fault['message']}")
    for line in error.get("traceback", "").splitlines():
        click.echo(escaped(line), err=True)
    if isinstance(run.outcome, Retry):
        note("A worker would try it again.")


def _exit_code(run: JobRun) -> int:
    from emp_core.cli.exit_codes import ExitCode
    from emp_core.jobs import Completed, Failed, Reason

    match run.outcome:
        case Completed():
            return ExitCode.OK
        case Failed(reason=Reason.INVALID_PAYLOAD):
            return ExitCode.INVALID_PAYLOAD
        case _:
            return ExitCode.JOB_FAILED
