"""The processes of a rig: servers and worker supervisors, each behind a line to the store that can be cut."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

from faults.proxy import Proxy
from support.plain_http import ask
from support.processes import StartedProcess, free_port, is_alive
from support.waiting import wait_until

EMP = str(Path(sys.executable).with_name("emp"))
START_TIMEOUT = 30.0


class Unit:
    """One `emp server` or `emp worker`, which can be started again after its end. `busy` is held by a fault at it."""

    def __init__(self, name: str, args: list[str], line: Proxy, folder: Path, env: Mapping[str, str]) -> None:
        self.name = name
        self.line = line
        self.busy = threading.Lock()
        self.env = dict(env)
        self._args = args
        self._folder = folder
        self._starts = 0
        self._process: StartedProcess | None = None

    @property
    def process(self) -> StartedProcess:
        """The process that runs now or ran last."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the process; its log is in the rig's folder."""
        self._starts += 1
        log = self._folder / f"{self.name}-{self._starts}.log"
        self._process = StartedProcess([EMP, *self._args], log=log, env=self.env, cwd=self._folder)

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.popen.poll() is None

    def kill(self) -> None:
        """End the process and everything that it has started, at once: the machine died."""
        for pid in self.process.left_running():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            self._process.close()

    def said(self, event: str) -> int:
        """Count how often its logs, of all its starts, name an event."""
        logs = self._folder.glob(f"{self.name}-*.log")
        return sum(log.read_text(errors="replace").count(event) for log in logs)


class Server(Unit):
    """`emp server` on a port of its own."""

    def __init__(self, name: str, line: Proxy, folder: Path, env: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        store = f"redis://127.0.0.1:{line.port}/0"
        super().__init__(name, ["server", "--port", str(port), "--redis-url", store], line, folder, env)

    def is_ready(self) -> bool:
        """Tell whether it answers and has its store."""
        try:
            return ask(f"{self.url}/readyz", timeout=2.0).is_success
        except httpx2.TransportError:
            return False


class Worker(Unit):
    """`emp worker`: a supervisor and the worker process below it."""

    def __init__(self, name: str, line: Proxy, folder: Path, env: Mapping[str, str], options: tuple[str, ...]) -> None:
        store = f"redis://127.0.0.1:{line.port}/0"
        args = ["worker", "--redis-url", store, "--name", name, *options]
        super().__init__(name, args, line, folder, env)

    def pids(self) -> list[int]:
        """Give the worker processes below the supervisor."""
        return [pid for pid, command in self.process.left_running().items() if "-m emp_worker.process" in command]

    def pid(self) -> int:
        """Give the worker process below the supervisor; waits until there is one."""
        return wait_until(self.pids, START_TIMEOUT)[0]

    def send(self, number: signal.Signals) -> int:
        """Send a signal to the worker process, not to its supervisor; gives its pid."""
        pid = self.pid()
        os.kill(pid, number)
        return pid

    def is_replaced(self, pid: int) -> Callable[[], bool]:
        """Give what tells whether another worker process than this one runs."""
        return lambda: not is_alive(pid) and bool(self.pids())

    @contextmanager
    def stopped(self, *, with_supervisor: bool) -> Iterator[int]:
        """Stop the worker process while the body runs; with its supervisor it is a machine that was suspended."""
        if with_supervisor:
            self.process.send(signal.SIGSTOP)
        pid = self.send(signal.SIGSTOP)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)
            self.process.send(signal.SIGCONT)
