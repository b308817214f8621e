"""Run one `emp server` process for a measurement."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.processes import Program

HOST: Final = "127.0.0.1"
READY_WITHIN: Final = 30.0


@contextmanager
def server_on(redis_url: str, namespace: str, logs: Path, settings: Mapping[str, str]) -> Iterator[tuple[Program, str]]:
    """Run a server on a store, with settings as environment variables; gives it and its address, when it is ready."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    env = {**os.environ, "EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace, **settings}
    emp = str(Path(sys.executable).with_name("emp"))
    server = Program([emp, "server", "--host", HOST, "--port", str(port)], env, logs / "server.log")
    try:
        url = f"http://{HOST}:{port}"
        _wait_until_ready(server, url)
        yield server, url
    finally:
        server.stop()


def _wait_until_ready(server: Program, url: str) -> None:
    until = time.monotonic() + READY_WITHIN
    while True:
        server.check()
        try:
            if httpx2.get(f"{url}/readyz", timeout=5, trust_env=False).is_success:
                return
        except httpx2.TransportError:
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"the server was not ready within {READY_WITHIN:g} s")
        time.sleep(0.05)
