"""`emp login`: keep an API key for a server, so that commands send it."""

from __future__ import annotations

import sys

import click

from emp_core.cli.connecting import PATIENCE, url_option
from emp_core.cli.output import note


@click.command()
@click.option("--forget", is_flag=True, help="Forget the key of this server.")
@url_option
def login(forget: bool, url: str | None) -> None:
    """Ask for an API key, try it, and keep it in a file that only you can read.

    The key is typed unseen, or read from standard input; it is never an argument, where others see it.
    """
    from emp_core.client import EmpClient, logins
    from emp_core.client.settings import ClientSettings
    from emp_core.settings import load

    server = load(ClientSettings, url=url).url
    if forget:
        note(f"The key for {server} is forgotten." if logins.forget(server) else f"There is no key for {server}.")
        return
    key = click.prompt("API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = key.strip()
    if not key.isascii() or not key.isprintable() or not 0 < len(key) <= 256:
        raise click.UsageError("this is not an API key: those look like emp_..._...")
    with EmpClient(server, api_key=key, patience=PATIENCE) as client:
        who = client.whoami()
    if who.key_id is None:
        raise click.ClickException(f"{server} asks nobody for a key: there is nothing to keep.")
    file = logins.remember(server, key)
    note(f"{server} knows you as {who.name} ({', '.join(who.scopes)}); the key is kept in {file}.")
