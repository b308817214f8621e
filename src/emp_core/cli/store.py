"""`emp store`: work on the store itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from emp_core.cli.keys import store_options
from emp_core.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from emp_core.store.migration import Migration


@click.group()
def store() -> None:
    """Work on the store itself."""


@store.command()
@click.option("--apply", is_flag=True, help="Migrate the store; without it, show what would be done.")
@json_option
@store_options
def migrate(apply: bool, as_json: bool, redis_url: str | None, namespace: str | None) -> None:
    """Migrate a store that an older release has written to the format of this release.

    Stop every server and worker of the older release first. Without --apply nothing is changed. An interrupted
    migration can be repeated.

    Ends with 0, with 2 if the store cannot be migrated as it is, or with 8 if it cannot be reached.
    """
    import asyncio

    from emp_core.settings import StoreSettings, load
    from emp_core.store import PARTITION
    from emp_core.store.migration import migrate as run

    settings = load(StoreSettings, redis_url=redis_url, namespace=namespace)
    migration = asyncio.run(run(settings.redis_url, settings.namespace, PARTITION, apply=apply))
    if as_json:
        print_json({**asdict(migration), "applied": apply and migration.is_needed})
        return
    for line in _lines(migration, apply=apply):
        click.echo(line)
    if migration.is_needed and migration.set_aside:
        note(f"{migration.set_aside} records were set aside by earlier releases: run `emp doctor --fix` afterwards.")


def _lines(migration: Migration, *, apply: bool) -> list[str]:
    if not migration.is_needed:
        return [f"The store has format {migration.found}. There is nothing to migrate."]
    found = f"format {migration.found}" if migration.found else "no readable format number"
    lines = [
        f"The store has {found}. Its records call for format {migration.target}.",
        f"{migration.records} job records, {migration.changed} of them in an older form.",
    ]
    if migration.unreadable:
        lines.append(f"{migration.unreadable} keys are no job records and were left alone; see `emp doctor`.")
    if apply:
        lines.append(f"Migrated to format {migration.target}.")
    else:
        lines.append("Nothing was changed. Stop all servers and workers, then run it again with --apply.")
    if migration.is_in_use:
        lines.append("A server or a worker is at work on the store now.")
    return lines
