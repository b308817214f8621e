"""The one store that all contestants share: Valkey from the wheel, on loopback, without persistence."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import redis

from benchmarks.processes import Program
from emp_core.store.embedded import find_binary

HOST = "127.0.0.1"


class Counters(NamedTuple):
    """What the store has done since its start.

    `commands` are all it has carried out, those inside scripts included; `reads` its reads of client sockets, of which
    one brings a whole pipeline: as good as round trips.
    """

    commands: int
    reads: int
    cpu_seconds: float


class BenchStore:
    """A running store; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = 0
        with socket.create_server((HOST, 0)) as free:
            self.port = int(free.getsockname()[1])

    def __enter__(self) -> Self:
        """Start it."""
        listen = ["--port", str(self.port), "--bind", HOST]
        keep = ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        log = self._folder / "logs" / "store.log"
        self._program = Program([str(find_binary()), *listen, *keep, "--dir", str(self._folder)], {}, log)
        self.client = redis.Redis(HOST, self.port, legacy_responses=False)
        until = time.monotonic() + 10
        while True:
            self._program.check()
            try:
                self.client.ping()
            except redis.ConnectionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.client.close()
        self._program.stop()

    @property
    def version(self) -> str:
        """Its name and version."""
        info = self.client.info("server")
        return f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"

    def empty(self) -> None:
        """Forget everything."""
        self.client.flushall()
        self.client.config_resetstat()

    def memory(self) -> int:
        """Give the bytes that its data takes, without the buffers of its clients, which go with them."""
        info: dict[str, Any] = self.client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"])

    def counters(self) -> Counters:
        """Read the counters, without what reading them costs."""
        info: dict[str, Any] = self.client.info("stats")
        self._asked += 1
        return Counters(
            info["total_commands_processed"] - self._asked,
            info["total_reads_processed"] - self._asked,
            self._program.cpu_seconds(),
        )

    def overhear(self, seconds: float) -> tuple[int, int]:
        """Listen to the clients; gives how many commands they sent, and how many ran inside their scripts."""
        sent = inside = 0
        until = time.monotonic() + seconds
        with socket.create_connection((HOST, self.port)) as ear:
            ear.sendall(b"MONITOR\r\n")
            lines = ear.makefile("rb")
            lines.readline()
            # A line comes now and then from us: a read that timed out would lose what it has read of a line.
            with self._ticking():
                while time.monotonic() < until:
                    line = lines.readline()
                    if b'" "bench-tick"' not in line:
                        inside += b" lua] " in line
                        sent += b" lua] " not in line
        return sent, inside

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        over = threading.Event()

        def tick() -> None:
            while not over.wait(0.5):
                self.client.echo("bench-tick")

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        yield
        over.set()
        thread.join()
