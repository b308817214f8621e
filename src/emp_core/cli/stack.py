"""The server and the worker of a development stack: two processes, started and stopped in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import IO, Final, Self

import httpx2

from emp_core.client.connecting import NO_AUTHORITIES
from emp_core.errors import Unreachable
from emp_core.tied import end_tied, start_tied

SERVER: Final = "server"
WORKER: Final = "worker"
_ANSWER_TIMEOUT: Final = 2.0
# What a part needs beyond its grace to end by itself, in seconds, before it is killed.
_STOP_MARGIN: Final = 5.0


class Stack:
    """A server on loopback and a worker, on one store; use it as a context manager.

    Args:
        redis_url: the store.
        namespace: the part of it to use.
        port: the server's port; 0 takes a free one.
        output: where the logs of both go; None is where ours go.
        grace: seconds that running jobs and requests get at a stop.
    """

    def __init__(
        self, redis_url: str, namespace: str, *, port: int = 0, output: IO[bytes] | None = None, grace: float = 5.0
    ) -> None:
        self._port = port or _free_port()
        self._output = output
        self._stop_timeout = grace + _STOP_MARGIN
        # EMP_GRACE: a job that runs on at a stop is given back, while a worker that is killed has lost its attempt.
        ours = {"EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace, "EMP_GRACE": f"PT{grace:g}S"}
        self._env = {**os.environ, **ours}
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start both."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self.stop()

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server, then the worker; neither is waited for."""
        self.start_part(SERVER)
        self.start_part(WORKER)

    def stop(self) -> None:
        """Stop the worker, so that its jobs are given back, then the server."""
        for part in (WORKER, SERVER):
            if part in self._parts:
                end_tied(self._parts[part], signal.SIGTERM, self._stop_timeout)
                del self._parts[part]

    def hurry(self) -> None:
        """Interrupt both; a `stop` that waits for one of them soon goes on. Made for signal handlers.

        They are not killed: a supervisor that is gone at once leaves a worker that drains for its grace. And it is not
        the signal of `stop`: two of one kind that wait together are delivered as one.
        """
        for process in list(self._parts.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

    def ended(self) -> dict[str, int]:
        """Give the parts that have ended by themselves, with their exit codes; each is named once."""
        found = {part: code for part, process in self._parts.items() if (code := process.poll()) is not None}
        for part in found:
            end_tied(self._parts.pop(part), signal.SIGTERM, self._stop_timeout)
        return found

    def is_ready(self) -> bool:
        """Ask the server whether it has its store."""
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=_ANSWER_TIMEOUT, verify=NO_AUTHORITIES).is_success
        except httpx2.TransportError:
            return False

    def is_staffed(self) -> bool:
        """Tell whether a worker serves a job type; also true where ours does not run, so that nobody waits for it."""
        if WORKER not in self._parts:
            return True
        try:
            answer = httpx2.get(f"{self.url}/v1/job-types", timeout=_ANSWER_TIMEOUT, verify=NO_AUTHORITIES)
        except httpx2.TransportError:
            return False
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            return True  # there are API keys here, and none of them is ours
        return answer.is_success and any(each["workers_online"] for each in answer.json()["job_types"])

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until the server is ready.

        Raises:
            Unreachable: it was not within `timeout` seconds, or a part has ended.
        """
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            for part, code in self.ended().items():
                raise Unreachable(f"emp {part} ended with {code} while it was starting")
            if time.monotonic() > deadline:
                raise Unreachable(f"the server did not answer at {self.url} within {timeout:g} s")
            time.sleep(0.05)

    def start_part(self, part: str) -> None:
        """Start one of them, which does not run."""
        arguments = ["--host", "127.0.0.1", "--port", str(self._port)] if part == SERVER else []
        command = [sys.executable, "-P", "-m", "emp_core.cli", part, *arguments]
        self._parts[part] = start_tied(command, output=self._output, env=self._env)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
