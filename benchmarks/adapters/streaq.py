"""streaq: `Task` enqueued by itself or by `enqueue_many`, and the worker of its command."""

from __future__ import annotations

from typing import Any

from streaq import Worker

from benchmarks.adapters import driver

# https://streaq.readthedocs.io: concurrency is for asynchronous functions.
worker: Worker[None] = Worker(redis_url=driver.URL, concurrency=100, anyio_kwargs={"use_uvloop": True})


@worker.task(name="noop")
async def noop(sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


class StreaqAdapter(driver.Adapter):
    """The worker object of streaq, which also submits."""

    async def open(self) -> None:
        """Connect."""
        await worker.__aenter__()

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await noop.enqueue(**payload)

    async def submit_many(self, payloads: list[dict[str, Any]]) -> None:
        """Submit many jobs."""
        await worker.enqueue_many([noop.enqueue(**payload) for payload in payloads])

    async def left(self) -> int:
        """Count what waits and what runs."""
        return await worker.queue_size() + int(await worker.redis.scard(worker._running_set))


if __name__ == "__main__":
    driver.serve(StreaqAdapter())
