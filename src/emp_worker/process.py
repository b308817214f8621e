"""One worker process under its supervisor: `python -m emp_worker.process`.

Its settings come as one JSON line on standard input, which stays open: a further line says that the worker should
drain, or that its grace is over, and its end that the supervisor has gone; it drains then. What the supervisor should
know goes as JSON lines to the descriptor that the settings line names.
"""

from __future__ import annotations

import emp_core.plain_structlog  # noqa: F401 - before structlog

# isort: split
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

import structlog

from emp_core import logs
from emp_core.errors import SettingsError, StoreUnfit
from emp_core.tracing import Tracer, log_processors, start_tracer
from emp_worker.descriptors import check_descriptors
from emp_worker.event_loop import new_event_loop
from emp_worker.plugins import Plugins, load_plugins
from emp_worker.settings import WorkerSettings
from emp_worker.supervisor import CANNOT_START
from emp_worker.tracing import SERVICE
from emp_worker.watchdog import Watchdog
from emp_worker.worker import Worker, children_at_once, served_types
from emp_worker.worker_process import HURRY, LEFT_WORK

END_WITHIN = 1.0
"""Seconds that the interpreter gets for its end when all is stored: to wait for threads, to call what plugins have
registered with atexit."""
KILLED_WITHIN = 2.0
"""Seconds that the supervisor gets to kill a process that asks for it."""

_log = structlog.get_logger("emp.worker")


def main() -> None:
    """Run a worker until it is told to stop, and end the process."""
    orders = _take_orders()
    given = json.loads(orders.readline())
    settings = WorkerSettings.model_validate(given["settings"])
    logs.configure(settings, log_processors(on=settings.tracing))
    try:
        check_descriptors(children=1)  # before plugins are loaded, which would fail for want of them
        plugins = load_plugins(
            only=settings.plugins,
            disabled=settings.plugins_disabled,
            prefer=settings.plugins_prefer,
            import_limit=settings.plugins_import_limit,
        )
        # A child process that takes handlers loads the plugins too, without a trial.
        disabled = (*settings.plugins_disabled, *plugins.not_loaded())
        settings = settings.model_copy(update={"plugins_disabled": disabled})
        check(settings, plugins)
        tracer = start_tracer(SERVICE, on=settings.tracing)
        # What is there now stays: a full collection need not look through the modules of all plugins.
        gc.collect()
        gc.freeze()
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            # Threads that handlers have left behind may hold up the loop's end, or the interpreter's, for ever.
            try:
                worker = runner.run(_work(settings, plugins, int(given["report_to"]), orders, tracer))
            except StoreUnfit as error:
                _log.error("store_format_unsupported", error=error.detail)
                _end_within(END_WITHIN, code=CANNOT_START)
                sys.exit(CANNOT_START)
            except BaseException:
                _end_within(END_WITHIN, code=1)
                raise
            tracer.stop()
            code = LEFT_WORK if worker.has_left_work else 0
            _end_within(0.0 if worker.has_stuck_threads else END_WITHIN, code)
    except SettingsError as error:
        _log.error("cannot_start", error=error.detail)
        sys.exit(CANNOT_START)
    _flush()
    sys.exit(code)


def _take_orders() -> IO[str]:
    """Take standard input away from handlers: they and their children would keep or read what is ours."""
    orders = os.fdopen(os.dup(0), "r")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return orders


def _end_within(seconds: float, code: int = 0) -> None:
    """End the process by then, if it has not ended by itself."""
    _flush()
    if not seconds:
        os._exit(code)
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # a handler closed it
            stream.flush()


def check(settings: WorkerSettings, plugins: Plugins) -> None:
    """Say each failed plugin once, and refuse to start with nothing to serve.

    Raises:
        SettingsError: no job type can be served, a plugin failed and the worker is strict, or the process may open too
            few files.
    """
    for failure in plugins.failures:
        _log.error(
            "plugin_failed",
            distribution=failure.distribution,
            version=failure.version,
            entry_point=failure.entry_point,
            phase=str(failure.phase),
            why=failure.why,
        )
    if plugins.absent:
        _log.warning("plugins_absent", names=plugins.absent, why="`plugins` names what is not installed")
    if settings.strict and (plugins.failures or plugins.absent):
        raise SettingsError(
            "a plugin is not installed or does not load, and the worker is strict; `emp plugins` says why"
        )
    if not plugins.types:
        raise SettingsError(
            "there is no job type to serve; install a plugin (`pip install emp-plugin-...`), see `emp plugins`"
        )
    served = served_types(plugins, settings.types)
    if not served:
        patterns = ", ".join(settings.types)
        raise SettingsError(f"no installed job type matches {patterns}; there are {', '.join(sorted(plugins.types))}")
    check_descriptors(children_at_once(settings, served) + 1)  # one for a job that has lost its worker


async def _work(settings: WorkerSettings, plugins: Plugins, report_to: int, orders: IO[str], tracer: Tracer) -> Worker:
    # A handler's child that outlives this process must not make it look alive.
    os.set_inheritable(report_to, False)
    reports = os.fdopen(report_to, "w", buffering=1)

    def report(facts: Mapping[str, Any]) -> None:
        try:
            reports.write(json.dumps(dict(facts)) + "\n")
        except OSError as error:  # the supervisor has gone; the end of standard input stops us
            _log.debug("report_failed", error=str(error))
        if "kill" in facts:  # should the supervisor not hear it
            _end_within(KILLED_WITHIN, code=1)

    watchdog = Watchdog(report_to, report)
    worker = Worker(settings, plugins, report, watchdog.feed, tracer)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    threading.Thread(target=_watch_supervisor, args=(loop, worker, orders), name="emp-watch", daemon=True).start()
    try:
        await worker.run()
    finally:
        watchdog.stop()
    return worker


def _watch_supervisor(loop: asyncio.AbstractEventLoop, worker: Worker, orders: IO[str]) -> None:
    """Hear the supervisor: a handler may have taken the signals away from us."""
    while line := orders.readline():
        loop.call_soon_threadsafe(worker.hurry if line == HURRY else worker.stop)
    if not loop.is_closed():
        _log.warning("supervisor_gone")
        loop.call_soon_threadsafe(worker.stop)


if __name__ == "__main__":
    main()
