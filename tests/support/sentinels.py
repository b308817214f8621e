"""Start a primary, its replica and the Sentinels that watch them, and let the primary fail over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from emp_core.store.embedded import find_binary
from support.processes import free_port
from support.stores import StartedStore, started_store
from support.waiting import wait_until

PRIMARY = "main"


@dataclass
class Watched:
    """Two stores, one a replica of the other, watched by three Sentinels."""

    directory: Path
    first: StartedStore
    second: StartedStore
    sentinel_ports: list[int]
    options: tuple[str, ...]
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """What EMP is given."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{PRIMARY}?db=0"

    def primary_port(self) -> int:
        """Ask a Sentinel where the primary is."""
        with redis.Redis(port=self.sentinel_ports[0]) as sentinel:
            return int(sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1])

    def cut_replication(self) -> None:
        """Let the replica lose its primary and not find it again, as behind a broken line."""
        self.second.client.config_set("masteruser", "nobody")
        self.second.client.config_set("masterauth", "wrong")
        self.second.client.execute_command("CLIENT", "KILL", "TYPE", "MASTER")
        wait_until(lambda: self.second.client.info("replication")["master_link_status"] == "down", 10)

    def fail_over(self) -> None:
        """Kill the primary, and wait until the replica is promoted."""
        self.first.kill()
        wait_until(lambda: self.primary_port() == self.second.port, 30)
        wait_until(lambda: self.second.client.info("replication")["role"] == "master", 30)

    async def is_failed_over(self) -> bool:
        """Tell whether the second store is the primary, and the first one its replica."""
        roles = [store.client.info("replication")["role"] for store in (self.second, self.first)]
        return roles == ["master", "slave"] and self.primary_port() == self.second.port

    def bring_back(self) -> None:
        """Start what was the primary again; the Sentinels make it a replica of the new one."""
        again = self.stack.enter_context(started_store(self.directory / "first", *self.options, port=self.first.port))
        wait_until(lambda: again.client.info("replication").get("master_link_status") == "up", 60)
        wait_until(lambda: self.second.client.info("replication")["connected_slaves"] == 1, 30)


@contextmanager
def watched_stores(directory: Path, *options: str) -> Iterator[Watched]:
    """Run all five processes."""
    with ExitStack() as stack:
        first = stack.enter_context(started_store(directory / "first", *options))
        second = stack.enter_context(started_store(directory / "second", *options))
        second.replicates(first)
        ports = [stack.enter_context(_sentinel(directory / f"sentinel{n}", first.port)) for n in range(3)]
        watched = Watched(directory, first, second, ports, options, stack)
        for port in ports:
            with redis.Redis(port=port) as sentinel:
                wait_until(lambda sentinel=sentinel: _knows_all(sentinel), 30)
        yield watched


def _knows_all(sentinel: redis.Redis) -> bool:
    state = sentinel.execute_command("SENTINEL", "MASTER", PRIMARY)
    said = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
    told = {str(k.decode() if isinstance(k, bytes) else k): v for k, v in said.items()}
    return (int(told["num-slaves"]), int(told["num-other-sentinels"])) == (1, 2)


@contextmanager
def _sentinel(directory: Path, primary: int) -> Iterator[int]:
    directory.mkdir()
    port, config = free_port(), directory / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {PRIMARY} 127.0.0.1 {primary} 2\n"
        f"sentinel down-after-milliseconds {PRIMARY} 1000\nsentinel failover-timeout {PRIMARY} 5000\n"
    )
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(find_binary()), str(config), "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        with redis.Redis(port=port) as sentinel:
            wait_until(lambda: _answers(sentinel), 20)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(sentinel: redis.Redis) -> bool:
    try:
        return bool(sentinel.ping())
    except redis.RedisError:
        return False
