"""taskiq on a Redis stream, without results: its fastest way that still acknowledges."""

from __future__ import annotations

from typing import Any

from taskiq_redis import RedisStreamBroker

from benchmarks.adapters import driver

# https://taskiq-python.github.io: the stream broker is the one that acknowledges; xread_count shares reads.
broker = RedisStreamBroker(driver.URL, xread_count=100)


@broker.task(task_name="noop")
async def noop(sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


class TaskiqAdapter(driver.Adapter):
    """The broker of taskiq."""

    async def open(self) -> None:
        """Connect."""
        await broker.startup()

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await noop.kiq(**payload)

    async def left(self) -> int:
        """Count what was not acknowledged."""
        from redis.asyncio import Redis  # noqa: PLC0415 - a client of its own pool

        async with Redis(connection_pool=broker.connection_pool) as redis:
            (group,) = await redis.xinfo_groups(broker.queue_name)
        return int(group["lag"] or 0) + int(group["pending"])


if __name__ == "__main__":
    driver.serve(TaskiqAdapter())
