"""The worker side's commands of `emp`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from emp_core.cli.durations import DURATION
from emp_core.cli.output import json_option, note, print_json, print_table
from emp_worker.plugin_commands import load_installed, plugin

__all__ = ["plugin", "plugins", "worker"]


@click.command()
@click.option("--redis-url", help="The store: redis://, rediss://, redis+sentinel:// or unix://.")
@click.option("--namespace", help="Which EMP in the store.")
@click.option("--types", help="Serve only job types that match, like 'image.*' (separated by commas).")
@click.option("--concurrency", type=int, help="The most jobs that run at once in one process (100).")
@click.option("--max-held-bytes", type=int, help="Bytes of payloads at which no more jobs are claimed (128 MiB).")
@click.option("--threads", type=int, help="The most blocking handlers at once (cores + 4, at most 32).")
@click.option("--children", type=int, help="The most child processes for handlers that run there (one per core).")
@click.option("--children-alone", type=int, help="The most jobs in children because of losses (16).")
@click.option("--child-max-jobs", type=int, help="A child process is replaced after so many jobs (1000).")
@click.option("--child-max-age", type=DURATION, help="A child process is replaced at this age (1h).")
@click.option("--child-max-growth", type=int, help="A child process is replaced when it has grown by so many bytes.")
@click.option("--processes", type=int, help="Worker processes (1).")
@click.option("--name", help="What people call this worker.")
@click.option("--grace", type=DURATION, help="How long running jobs get at shutdown (30s).")
@click.option("--max-jobs", type=int, help="A process that took so many jobs makes room for a fresh one.")
@click.option("--max-age", type=DURATION, help="A process of this age makes room for a fresh one.")
@click.option("--health-port", type=int, help="Loopback port for /livez and /readyz.")
@click.option("--strict", is_flag=True, default=None, help="A plugin that fails to load ends the worker.")
def worker(**flags: Any) -> None:
    """Perform jobs of all installed job types, until SIGTERM or Ctrl-C; a second one ends it at once.

    A store that is away is waited for. One that would lose jobs, or lets nobody in, is refused with exit code 2.
    """
    import asyncio

    import emp_core.plain_structlog  # noqa: F401 - before structlog

    # isort: split
    from emp_core import logs
    from emp_core.admission import admit
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
        await admit(settings.redis_url, settings.namespace)
        return await Supervisor(settings).run()

    sys.exit(asyncio.run(supervise()))


@click.command()
@json_option
@click.option("--no-load", is_flag=True, help="Read metadata only; import no plugin.")
def plugins(as_json: bool, no_load: bool) -> None:
    """List the installed plugins: their job types, their state and, for failures, why."""
    rows = _found() if no_load else load_installed().report()
    if as_json:
        print_json(rows)
        return
    if not rows:
        note("no plugin is installed; pip install one, for instance emp-plugin-simulation")
    print_table(
        ("PLUGIN", "VERSION", "STATE", "JOB TYPES", "WHY"),
        [(row["distribution"], row["version"], row["state"], ", ".join(row["job_types"]), _why(row)) for row in rows],
    )


def _why(row: Mapping[str, Any]) -> str:
    return f"failed at {row['phase']} of {row['entry_point']}: {row['why']}" if "why" in row else ""


def _found() -> tuple[dict[str, Any], ...]:
    """List what the metadata says, in the shape of `Plugins.report`."""
    from emp_worker.discovery import find_plugins
    from emp_worker.plugins import report_row

    found, failures = find_plugins()
    return (*(report_row(each, "found") for each in found), *(report_row(each, "failed") for each in failures))
