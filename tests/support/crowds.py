"""What tests with ten thousand clients share: descriptors for them, and a server process seen from outside."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.plain_http import ask, asking
from support.processes import StartedProcess
from support.waiting import wait_until


@contextmanager
def open_files(most: int) -> Iterator[None]:
    """Let this process have so many; the test is skipped where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < most:
        pytest.skip(f"a process may have {hard} open files here, and {most} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Served:
    """A server process, as far as it can be seen from outside."""

    def __init__(self, url: str, pid: int, redis: Redis) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.pid = pid
        self.redis = redis

    def memory_kib(self) -> int:
        """Give the memory that no other process shares."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"RssAnon:\s+(\d+)", status)[0])

    async def in_flight(self) -> float:
        """Give how many requests it says to have under way."""
        async with asking(timeout=60) as client:
            metrics = (await client.get(f"{self.url}/metrics")).text
        return float(re.findall(r"^emp_http_requests_in_flight (\S+)", metrics, re.MULTILINE)[0])

    async def has_in_flight(self, least: int) -> bool:
        """Tell whether so many are under way."""
        return await self.in_flight() >= least

    def open_files(self) -> int:
        """Give how many descriptors it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    async def commands(self) -> int:
        """Give how many commands the store has had."""
        return int((await self.redis.info("stats"))["total_commands_processed"])

    async def connections(self) -> int:
        """Give how many connections the store has, ours among them."""
        return len(await self.redis.client_list())


@asynccontextmanager
async def serving(
    start_process: Callable[..., StartedProcess], redis_url: str, namespace: str, **env: str
) -> AsyncIterator[Served]:
    """Run `emp server` in a process of its own; `env` are settings."""
    emp = [sys.executable, "-m", "emp_core.cli", "server", "--port", "0"]
    process = start_process([*emp, "--redis-url", redis_url, "--namespace", namespace], env=env)
    url = process.wait_for(r"http://[0-9.]+:\d+")[0]
    wait_until(lambda: ask(f"{url}/readyz").status_code == 200)
    async with Redis.from_url(redis_url) as redis:
        yield Served(url, process.popen.pid, redis)
