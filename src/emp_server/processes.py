"""Keep several server processes on one socket: each that ends is started again, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final

import structlog

from emp_core.errors import StoreUnfit
from emp_server.metrics.sharing import forget_process, sharing
from emp_server.serving import serve_process
from emp_server.settings import ServerSettings

RESTART_PAUSE: Final = 1.0
CANNOT_SERVE: Final = 2
"""The exit code of a process that must not be started again."""

_log = structlog.get_logger("emp.server")
_spawn = multiprocessing.get_context("spawn")


class Processes:
    """The server processes of one `emp server`."""

    def __init__(self, settings: ServerSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._stopping = False
        self._running: list[SpawnProcess] = []
        self._unfit = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then until the open requests have ended.

        Raises:
            StoreUnfit: a process has ended since the store has a format of another release.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        with sharing() as folder:
            for _ in range(self._settings.server_workers):
                self._start()
            self._keep(folder)
        if self._unfit:
            raise StoreUnfit("the store has the format of another release; the log says which")

    def _keep(self, folder: str) -> None:
        """Start again what ends, until all have ended because they were told to."""
        while self._running:
            ended = wait([process.sentinel for process in self._running])
            for process in [each for each in self._running if each.sentinel in ended]:
                self._running.remove(process)
                process.join()
                if process.pid is not None:
                    forget_process(process.pid, folder)
                if process.exitcode == CANNOT_SERVE and not self._stopping:
                    self._unfit = True
                    self._stop()
                elif not self._stopping:
                    _log.warning("server_process_ended", pid=process.pid, exit_code=process.exitcode)
                    time.sleep(RESTART_PAUSE)
                    self._start()

    def _start(self) -> None:
        # Between a signal and its handler a process may still be on its way up.
        if not self._stopping:
            process = _spawn.Process(target=_serve, args=(self._settings, self._listener))
            self._running.append(process)
            process.start()

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for process in self._running:
            if process.pid is not None:
                process.terminate()


def _serve(settings: ServerSettings, listener: socket.socket) -> None:
    """Be one of the processes. Ctrl-C on the terminal is the parent's affair: it asks us to stop."""
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        serve_process(settings, [listener])
    except StoreUnfit:
        sys.exit(CANNOT_SERVE)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
