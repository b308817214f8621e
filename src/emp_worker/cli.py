"""The worker side's commands of `emp`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from emp_core.cli.output import json_option, note, print_json, print_table

if TYPE_CHECKING:
    from emp_worker.plugins import Plugins


@click.command()
@click.option("--redis-url", help="The store: redis://, rediss:// or unix://.")
@click.option("--namespace", help="Which EMP in the store.")
@click.option("--types", help="Serve only job types that match, like 'image.*' (separated by commas).")
@click.option("--concurrency", type=int, help="The most jobs that run at once in one process (100).")
@click.option("--threads", type=int, help="The most blocking handlers at once (cores + 4, at most 32).")
@click.option("--processes", type=int, help="Worker processes (1).")
@click.option("--name", help="What people call this worker.")
@click.option("--grace", type=float, help="Seconds that running jobs get at shutdown (30).")
@click.option("--max-jobs", type=int, help="A process that took so many jobs makes room for a fresh one.")
@click.option("--max-age", type=float, help="A process of so many seconds makes room for a fresh one.")
@click.option("--health-port", type=int, help="Loopback port for /livez and /readyz.")
@click.option("--strict", is_flag=True, default=None, help="A plugin that fails to load ends the worker.")
def worker(**flags: Any) -> None:
    """Perform jobs of all installed job types, until SIGTERM or Ctrl-C; a second one ends it at once."""
    import asyncio

    from emp_core import logs
    from emp_core.errors import SettingsError
    from emp_core.settings import load
    from emp_worker.settings import WorkerSettings
    from emp_worker.supervisor import Supervisor

    try:
        settings = load(WorkerSettings, **flags)
    except SettingsError as error:
        raise click.UsageError(error.detail) from error
    logs.configure(settings)

    async def supervise() -> int:
        return await Supervisor(settings).run()

    sys.exit(asyncio.run(supervise()))


@click.command()
@json_option
@click.option("--no-load", is_flag=True, help="Read metadata only; import no plugin.")
def plugins(as_json: bool, no_load: bool) -> None:
    """List the installed plugins: their job types, their state and, for failures, why."""
    rows = _found() if no_load else _load().report()
    if as_json:
        print_json(rows)
        return
    if not rows:
        note("no plugin is installed; pip install one, for instance emp-plugin-simulation")
    print_table(
        ("PLUGIN", "VERSION", "STATE", "JOB TYPES"),
        [(row["distribution"], row["version"], row["state"], ", ".join(row["job_types"])) for row in rows],
    )
    for row in rows:
        if "why" in row:
            note(f"{row['distribution']} ({row['entry_point']}) failed at {row['phase']}: {row['why']}")


@click.group()
def plugin() -> None:
    """Work on plugins."""


@plugin.command()
@click.argument("name", required=False)
@click.option("--run", is_flag=True, help="Perform the handlers on their examples, too.")
@json_option
def check(name: str | None, run: bool, as_json: bool) -> None:
    """Check plugins against the contract: all, or the one of this NAME (distribution, entry point or job type).

    Exits 1 if a check failed, and 6 if no plugin has this name.
    """
    from emp_core.cli.exit_codes import ExitCode

    findings = _findings(_load(), name, run=run)
    if as_json:
        print_json(findings)
    else:
        columns = ("plugin", "job_type", "check", "verdict", "message")
        print_table([each.upper() for each in columns], [[row[each] for each in columns] for row in findings])
    if not findings:
        note("no plugin is loaded" if name is None else f"no plugin or job type is named {name}")
        sys.exit(ExitCode.NOT_FOUND)
    if any(row["verdict"] == "failed" for row in findings):
        sys.exit(ExitCode.ERROR)


def _load() -> Plugins:
    from emp_core.settings import load
    from emp_worker.plugins import load_plugins
    from emp_worker.settings import PluginSettings

    settings = load(PluginSettings)
    return load_plugins(only=settings.plugins, disabled=settings.plugins_disabled, prefer=settings.plugins_prefer)


def _found() -> tuple[dict[str, Any], ...]:
    """List what the metadata says, in the shape of `Plugins.report`."""
    from emp_worker.discovery import find_plugins
    from emp_worker.plugins import report_row

    found, failures = find_plugins()
    return (*(report_row(each, "found") for each in found), *(report_row(each, "failed") for each in failures))


def _findings(plugins: Plugins, name: str | None, *, run: bool) -> list[dict[str, str]]:
    """Check the plugins that the name means; one that does not load has failed its first check."""
    from emp_worker.contract import check_job_type
    from emp_worker.discovery import is_named

    rows: list[dict[str, str]] = []
    for failure in plugins.failures:
        if name is None or is_named(failure, (name,)):
            row = {"plugin": failure.distribution, "job_type": "", "check": failure.phase.value, "verdict": "failed"}
            rows.append({**row, "message": failure.why})
    for each in plugins.loaded:
        for job_type in each.job_types:
            if name is None or name == job_type.name or is_named(each.found, (name,)):
                rows += [
                    {
                        "plugin": each.found.distribution,
                        "job_type": finding.job_type,
                        "check": finding.check,
                        "verdict": finding.verdict.value,
                        "message": finding.message,
                    }
                    for finding in check_job_type(job_type, run=run)
                ]
    return rows
