"""`emp keys`: who may come in. It talks to the store itself: the first key cannot be made through a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from emp_core.cli.durations import DURATION
from emp_core.cli.output import json_option, note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from emp_core.api_keys import ApiKey
    from emp_core.store import ApiKeyStore

COLUMNS: Final = ("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "RATE")
SCOPES: Final = ("submit", "read", "operate", "admin")

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


def store_options(command: F) -> F:
    """Give a command the options that name the store."""
    command = click.option("--namespace", help="The part of the store.")(command)
    text = "The store: redis://, rediss://, redis+sentinel:// or unix://."
    return click.option("--redis-url", help=text)(command)


class ScopeNames(click.ParamType[tuple[str, ...]]):
    """Scopes, separated by commas."""

    name = "scopes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read the option's text."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in str(value).split(",") if name.strip()))
        strange = [name for name in names if name not in SCOPES]
        if strange or not names:
            self.fail(f"{value!r}: choose from {', '.join(SCOPES)}", param, ctx)
        return names


@click.group(invoke_without_command=True)
@json_option
@store_options
@click.pass_context
def keys(ctx: click.Context, as_json: bool, redis_url: str | None, namespace: str | None) -> None:
    """List the API keys, or make or revoke one."""
    if ctx.invoked_subcommand is None:
        _show(_run(redis_url, namespace, lambda store: store.all()), as_json=as_json)


@keys.command(name="list")
@json_option
@store_options
def list_keys(as_json: bool, redis_url: str | None, namespace: str | None) -> None:
    """List the API keys: id, name, scopes, when made, when over. The keys themselves are nowhere kept."""
    _show(_run(redis_url, namespace, lambda store: store.all()), as_json=as_json)


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=ScopeNames(),
    required=True,
    metavar="SCOPES",
    help="What it may do: submit, read, operate, admin; separated by commas.",
)
@click.option("--expires", type=DURATION, help="It opens no more after so long, such as 90d.  [default: never]")
@click.option("--rate", type=click.IntRange(1), help="The most submissions a second, instead of the server's limit.")
@json_option
@store_options
def create(
    name: str,
    scopes: tuple[str, ...],
    expires: float | None,
    rate: int | None,
    as_json: bool,
    redis_url: str | None,
    namespace: str | None,
) -> None:
    """Make an API key and print it. It is shown this once: only its digest is kept."""
    from datetime import UTC, datetime, timedelta

    from emp_core.api_keys import Scope, is_key_name, new_key

    if not is_key_name(name):
        raise click.UsageError("a name has 1 to 64 of letters, digits and . _ @ -, a letter or digit first")
    try:
        expires_at = None if expires is None else datetime.now(tz=UTC) + timedelta(seconds=expires)
    except OverflowError:
        raise click.UsageError("--expires is too far away") from None
    key, text = new_key(name, map(Scope, scopes), expires_at=expires_at, rate=rate)

    async def add(store: ApiKeyStore) -> bool:
        return all(each.name != name for each in await store.all()) and await store.add(key)

    if not _run(redis_url, namespace, add):
        raise click.UsageError(f"there is a key named {name}: revoke it first, or choose another name")
    if as_json:
        print_json({**_document(key), "key": text})
    else:
        click.echo(text)
    until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    note(f"Key {key.key_id} ({name}) may {', '.join(sorted(scopes))}{until}. It is not shown again: keep it now.")


@keys.command()
@click.argument("key", metavar="ID|NAME")
@store_options
def revoke(key: str, redis_url: str | None, namespace: str | None) -> None:
    """Revoke an API key: within a second no server lets it in any more. Its jobs go on."""
    from emp_core.errors import NotFound

    async def remove(store: ApiKeyStore) -> str | None:
        found = [each for each in await store.all() if key in {each.key_id, each.name}]
        # By its id a record can be revoked that cannot be read.
        key_id = found[0].key_id if found else key
        return key_id if await store.revoke(key_id) else None

    revoked = _run(redis_url, namespace, remove)
    if revoked is None:
        raise NotFound(f"there is no API key {key[:64]!r}; `emp keys` lists them")
    note(f"Key {revoked} is revoked.")


def _run(redis_url: str | None, namespace: str | None, act: Callable[[ApiKeyStore], Coroutine[Any, Any, T]]) -> T:
    """Do something with the keys of the store."""
    import asyncio

    from emp_core.settings import StoreSettings, load
    from emp_core.store import open_store

    settings = load(StoreSettings, redis_url=redis_url, namespace=namespace)

    async def run() -> T:
        async with open_store(settings.redis_url, settings.namespace) as store:
            return await act(store.api_keys)

    return asyncio.run(run())


def _show(found: list[ApiKey], *, as_json: bool) -> None:
    found = sorted(found, key=lambda key: key.created_at)
    if as_json:
        print_json([_document(key) for key in found])
        return
    print_table(
        COLUMNS, ((k.key_id, k.name, ",".join(sorted(k.scopes)), k.created_at, k.expires_at, k.rate) for k in found)
    )


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "rate": key.rate,
    }
