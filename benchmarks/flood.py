"""Publish the updates of many jobs at a steady rate: `python -m benchmarks.flood URL CHANNEL RATE < publications`.

Workers that end 10,000 jobs a second would take more than this machine has, while a page only sees what the store
publishes. So what real scripts published is recorded once, byte for byte, and sent again and again, from a process of
its own. SIGTERM ends it; then it prints how many lines it sent, in how many seconds.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from emp_core.store import PARTITION
from emp_core.store.keys import Keys

TICK: Final = 0.02
"""Seconds between two bursts: what is due by then goes out in one pipeline."""


@dataclass(slots=True)
class Passed:
    """What went by: lines (one a move of a job), in so many seconds."""

    lines: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Lines a second."""
        return self.lines / self.seconds if self.seconds else 0.0


def channel_of(namespace: str) -> str:
    """Give the channel of the updates."""
    return Keys(namespace, PARTITION)("feed", "updates")


async def record(url: str, channel: str, live: Callable[[], Awaitable[object]]) -> list[str]:
    """Give what is published on a channel while some jobs live."""
    async with Redis.from_url(url) as client, client.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(channel)
        await heard.get_message(ignore_subscribe_messages=True, timeout=1.0)
        await live()
        publications = []
        while (message := await heard.get_message(ignore_subscribe_messages=True, timeout=0.5)) is not None:
            publications.append(message["data"].decode())
    return publications


@asynccontextmanager
async def flooded(url: str, channel: str, publications: Sequence[str], rate: int) -> AsyncIterator[Passed]:
    """Publish so many lines a second while the body runs; what it gives is filled in at its end."""
    command = [sys.executable, "-m", "benchmarks.flood", url, channel, str(rate)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(publications).encode())
    process.stdin.close()
    await process.stdout.readline()
    passed = Passed()
    try:
        yield passed
    finally:
        process.send_signal(signal.SIGTERM)
        told = await process.stdout.read()
        await process.wait()
    passed.lines, passed.seconds = json.loads(told)


async def _publish(url: str, channel: str, rate: int, publications: Sequence[bytes]) -> Passed:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sizes = [publication.count(b"\n") + 1 for publication in publications]
    passed, at = Passed(), 0
    async with Redis.from_url(url) as client:
        print("ready", flush=True)
        began = time.monotonic()
        while not stopped.is_set():
            burst = client.pipeline(transaction=False)
            while passed.lines < rate * (time.monotonic() - began):
                burst.publish(channel, publications[at])
                passed.lines += sizes[at]
                at = (at + 1) % len(publications)
            await burst.execute()
            await asyncio.sleep(TICK)
        passed.seconds = time.monotonic() - began
    return passed


def main() -> None:
    """Read the publications, publish them."""
    url, channel, rate = sys.argv[1:]
    publications = [each.encode() for each in json.load(sys.stdin)]
    passed = asyncio.run(_publish(url, channel, int(rate), publications))
    print(json.dumps([passed.lines, passed.seconds]))


if __name__ == "__main__":
    main()
