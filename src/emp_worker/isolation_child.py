"""A child process of a worker: `python -m emp_worker.isolation_child FD`, where FD is its connection.

It loads the plugins itself and performs one attempt at a time as the worker would: `async def` handlers on the loop of
the main thread, `def` handlers in a thread. SIGTERM ends it, whatever Python is doing, unless a handler says otherwise.
"""

from __future__ import annotations

import emp_core.plain_structlog  # noqa: F401 - before structlog

# isort: split
import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback

import structlog

from emp_core import logs
from emp_core.tracing import log_processors, start_tracer
from emp_worker.isolation import Runners
from emp_worker.isolation.frames import Ready, Start, read_to_child
from emp_worker.isolation.leftovers import adopt_orphans
from emp_worker.isolation.outbox import Outbox
from emp_worker.isolation.performer import Performer
from emp_worker.plugins import load_plugins
from emp_worker.tracing import SERVICE

_log = structlog.get_logger("emp.child")


def main() -> None:
    """Serve one worker until it says stop or is gone, and end the process."""
    code = 1
    try:
        connection = socket.socket(fileno=int(sys.argv[1]))
        # What handlers start must not hold the connection.
        connection.set_inheritable(False)
        _set_up()
        start, _ = read_to_child(connection)
        if isinstance(start, Start):
            _serve(connection, start)
            code = 0
    except BaseException:  # noqa: BLE001 - the top of a command; what it prints goes with the attempt's error
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # a handler closed it
            stream.flush()
    # Threads that handlers have left behind would hold the interpreter's exit up.
    os._exit(code)


def _set_up() -> None:
    """Make the process one that handlers can be run in, and that its worker can end."""
    faulthandler.enable(all_threads=False)  # the one that crashed is what matters
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Standard input is for the tie to the worker; handlers find nothing there.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # kept open
    adopt_orphans()


def _serve(connection: socket.socket, start: Start) -> None:
    sys.path[:] = start.sys_path
    logs.configure(start, log_processors(on=start.tracing))
    plugins = load_plugins(only=start.only, disabled=start.disabled, prefer=start.prefer)
    tracer = start_tracer(SERVICE, on=start.tracing)
    types = {name: loaded.job_type for name, loaded in plugins.types.items()}
    outbox = Outbox(connection)
    threading.Thread(target=_write, args=(outbox,), name="emp-outbox", daemon=True).start()

    async def work() -> None:
        async with Runners(threads=1, hooks=plugins.hooks) as runners:
            performer = Performer(types, runners, outbox, tracer)
            threading.Thread(target=_read, args=(connection, performer), name="emp-inbox", daemon=True).start()
            outbox.send(Ready({name: job_type.digest for name, job_type in types.items()}))
            await performer.run()

    asyncio.run(work())
    tracer.stop()


def _write(outbox: Outbox) -> None:
    """Tell the worker what there is to tell; without a connection to it nothing here is of use."""
    try:
        outbox.run()
    except OSError as error:
        _log.error("connection_lost", error=str(error))
    finally:
        os.killpg(0, signal.SIGKILL)


def _read(connection: socket.socket, performer: Performer) -> None:
    """Take what the worker says; when it is gone, end this process and all that its handlers have started."""
    try:
        while True:
            performer.heard(*read_to_child(connection))
    except (EOFError, OSError):
        return
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
