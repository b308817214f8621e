"""Run the server: uvicorn around the application, on a socket that is already open."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from signal import SIGINT
from types import FrameType
from typing import Final

import structlog
import uvicorn
import uvloop

from emp_core import logs
from emp_core.errors import StoreUnfit
from emp_core.store import Store, open_store, redacted
from emp_core.tracing import NO_TRACER, Tracer, log_processors, start_tracer
from emp_server.app import Application, build_app
from emp_server.connections import protocol_for, sweep
from emp_server.open_files import allow_many_files
from emp_server.settings import ServerSettings

BACKLOG: Final = 2048
SWEEP_TICKS: Final = 10
"""Ticks of uvicorn's, a tenth of a second each, between two looks at all connections."""

_log = structlog.get_logger("emp.server")


class Server(uvicorn.Server):
    """A uvicorn server that ends open streams before it waits for them: uvicorn by itself waits until clients leave."""

    def __init__(self, config: uvicorn.Config, app: Application) -> None:
        super().__init__(config)
        self.app = app

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """Stop gracefully; a second Ctrl-C does not wait. Unlike uvicorn, do not end by the signal: it was no crash."""
        if self.should_exit and sig == SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and once a second look for clients that take too long."""
        if self.app.parts.watch.unfit is not None:
            self.should_exit = True
        if counter % SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams and waits first, then what uvicorn does."""
        self.app.stop()
        await super().shutdown(sockets)


def listen(settings: ServerSettings) -> socket.socket:
    """Take the port.

    Raises:
        OSError: the address is not ours, or somebody else has the port.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)


def say_where(settings: ServerSettings, listener: socket.socket) -> None:
    """Log where the server listens, and on what store it works."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info(
        "server_starts",
        url=f"http://{shown}:{port}",
        store=redacted(settings.redis_url),
        namespace=settings.namespace,
        processes=settings.server_workers,
    )


def serve_process(settings: ServerSettings, sockets: Sequence[socket.socket]) -> None:
    """Serve in this process until SIGTERM or SIGINT.

    Raises:
        StoreUnfit: the store has, or came to have, a format of another release.
    """
    logs.configure(settings, log_processors(on=settings.tracing))
    tracer = start_tracer("emp-server", on=settings.tracing)
    allow_many_files()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, sockets, tracer))
    finally:
        tracer.stop()


async def serve(settings: ServerSettings, sockets: Sequence[socket.socket], tracer: Tracer = NO_TRACER) -> None:
    """Serve on open sockets until the server is told to stop. While the store is unreachable, answer 503.

    Raises:
        StoreUnfit: the store came to have a format of another release.
    """
    async with store_of(settings) as store:
        server = make_server(settings, store, tracer)
        # What stands now stays: a full collection that walked through it would stop all requests for 35 ms.
        gc.collect()
        gc.freeze()
        await server.serve(list(sockets))
        if (unfit := server.app.parts.watch.unfit) is not None:
            raise StoreUnfit(unfit.detail)


def store_of(settings: ServerSettings) -> AbstractAsyncContextManager[Store]:
    """Open the store that a server works on."""
    return open_store(
        settings.redis_url,
        settings.namespace,
        replicated=settings.replicated,
        waiting_limit=settings.waiting_limit_per_type,
    )


def make_server(settings: ServerSettings, store: Store, tracer: Tracer = NO_TRACER) -> Server:
    """Put uvicorn around the application."""
    app = build_app(settings, store, tracer)
    config = uvicorn.Config(
        app,
        http=protocol_for(settings, app.parts, app.short_way),
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.stop_grace.total_seconds()),
    )
    return Server(config, app)
