"""RQ: `Queue.enqueue` and `Queue.enqueue_many`, and its SimpleWorker, which does not fork for each job."""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue

from benchmarks.adapters import driver

queue = Queue(connection=redis.Redis.from_url(driver.URL))


def noop(sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


NAME = "benchmarks.adapters.rq.noop"


class RqAdapter(driver.Adapter):
    """A queue of RQ."""

    def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        queue.enqueue(NAME, kwargs=payload)

    def submit_many(self, payloads: list[dict[str, Any]]) -> None:
        """Submit many jobs."""
        queue.enqueue_many([Queue.prepare_data(NAME, kwargs=payload) for payload in payloads])

    async def left(self) -> int:
        """Count what waits or runs."""
        return queue.count + queue.started_job_registry.get_job_count(cleanup=False)


if __name__ == "__main__":
    driver.serve(RqAdapter())
