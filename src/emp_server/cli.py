"""The `emp server` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from emp_server.settings import ServerSettings


@click.command()
@click.option("--host", help="The address to listen on; beyond loopback only with API keys.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one.  [default: 8321]")
@click.option("--redis-url", help="The store: redis://, rediss://, redis+sentinel:// or unix://.")
@click.option("--namespace", help="The part of the store to use.")
@click.option("--workers", "server_workers", type=click.IntRange(1, 64), help="Server processes that share the port.")
@click.option(
    "--durability",
    type=click.Choice(["store", "replica"]),
    help="Answer a submission when the store has it, or a replica, too.  [default: store]",
)
@click.option("--insecure", is_flag=True, default=None, help="Ask nobody for an API key, beyond loopback neither.")
def server(**flags: Any) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C.

    A store that is away is no reason to end: submissions are answered with 503 until it is back. One that would lose
    jobs, or lets nobody in, is refused with exit code 2.
    """
    import asyncio

    import emp_core.plain_structlog  # noqa: F401 - before structlog

    # isort: split
    from emp_core import logs
    from emp_core.admission import admit
    from emp_server.processes import Processes
    from emp_server.serving import listen, say_where, serve_process

    settings = _settings(flags)
    logs.configure(settings)
    asyncio.run(admit(settings.redis_url, settings.namespace, replicated=settings.replicated))
    if settings.asks_for_keys:
        asyncio.run(_refuse_without_keys(settings))
    try:
        listener = listen(settings)
    except OSError as error:
        place = f"{settings.host} port {settings.port}"
        raise click.ClickException(f"cannot listen on {place}: {error.strerror}") from error
    say_where(settings, listener)
    if settings.server_workers == 1:
        serve_process(settings, [listener])
    else:
        Processes(settings, listener).run()


async def _refuse_without_keys(settings: ServerSettings) -> None:
    """Refuse to serve where keys are asked for and there is none; a store that is away has to be waited for.

    Raises:
        UsageError: nobody could come in.
    """
    from emp_core.errors import StoreError
    from emp_core.store import open_store

    async with open_store(settings.redis_url, settings.namespace) as store:
        try:
            if await store.api_keys.count():
                return
        except StoreError:
            # Nobody comes in without a key all the same: whether one is asked for does not hang on the store.
            return
    why = (
        f"{settings.host} can be reached from outside this machine"
        if settings.beyond_loopback
        else "EMP_REQUIRE_KEY is set"
    )
    raise click.UsageError(
        f"{why}, and there is no API key in the namespace {settings.namespace}. Make one:"
        " `emp keys create NAME --scope submit,read` (with the same --redis-url and --namespace), or listen on"
        " 127.0.0.1. --insecure lets everybody in."
    )


def _settings(flags: dict[str, Any]) -> ServerSettings:
    """Read the settings, and refuse what must not even be tried."""
    from emp_core.errors import SettingsError
    from emp_core.settings import load
    from emp_core.store.connection import connect
    from emp_server.settings import ServerSettings

    try:
        settings = load(ServerSettings, **flags)
        connect(settings.redis_url)
    except SettingsError as error:
        raise click.UsageError(error.detail) from error
    return settings
