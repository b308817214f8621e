"""SAQ: `Queue.enqueue`, and the worker of its command."""

from __future__ import annotations

from typing import Any

from saq import Queue

from benchmarks.adapters import driver

# https://saq-py.readthedocs.io: uvloop and hiredis are advised; max_concurrent_ops bounds enqueue, by default to 20.
queue = Queue.from_url(driver.URL, max_concurrent_ops=100)


async def noop(ctx: dict[str, Any], *, sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


settings = {"queue": queue, "functions": [noop], "concurrency": 100}


class SaqAdapter(driver.Adapter):
    """A queue of SAQ. It has no call for many jobs that shares round trips."""

    async def open(self) -> None:
        """Connect."""
        await queue.connect()

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await queue.enqueue("noop", **payload)

    async def left(self) -> int:
        """Count what has not ended."""
        return int(await queue.count("incomplete"))


if __name__ == "__main__":
    driver.serve(SaqAdapter())
