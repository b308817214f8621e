"""Start stores that a test may configure, freeze, fill and kill: primaries, replicas, on whatever disk."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from emp_core.store.embedded import find_binary
from support.processes import free_port
from support.waiting import wait_until


@dataclass
class StartedStore:
    """A store process; `client` is a plain one for what an operator does."""

    port: int
    process: subprocess.Popen[bytes]
    client: redis.Redis

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it while the body runs: it takes connections and bytes, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def replicates(self, primary: StartedStore) -> None:
        """Become a replica of another store, and wait until it has all its data."""
        self.client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: self.client.info("replication").get("master_link_status") == "up", 20)


@contextmanager
def started_store(
    directory: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    binary: Path | None = None,
    port: int | None = None,
    wait: bool = True,
) -> Iterator[StartedStore]:
    """Run a store on loopback, without snapshots and append-only file unless the options ask for them.

    `wait=False` does not wait until it answers with its data loaded.
    """
    directory.mkdir(exist_ok=True)
    port = port or free_port()
    own = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
        "--save",
        "",
        "--repl-diskless-sync-delay",
        "0",
    ]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(find_binary(binary)), *own, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(env or {})},
        )
    client = redis.Redis(port=port, socket_timeout=10)
    store = StartedStore(port, process, client)
    try:
        if wait:
            wait_until(lambda: _answers(client), 20)
        yield store
    finally:
        client.close()
        store.kill()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ResponseError, redis.AuthenticationError):
        return True  # it wants a password, or has another reason to refuse
    except redis.RedisError:
        return False
