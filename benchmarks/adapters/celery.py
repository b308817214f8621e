"""Celery: `apply_async`, results in the same store, and the worker of its command (prefork)."""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery

from benchmarks.adapters import driver

app = Celery("bench", broker=driver.URL, backend=driver.URL)
# https://docs.celeryq.dev, "Optimizing": a higher prefetch for short work; JSON is the default.
app.conf.update(worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task(name="noop")
def noop(sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


class CeleryAdapter(driver.Adapter):
    """The application object of Celery."""

    async def open(self) -> None:
        """Connect."""
        self._redis = redis.Redis.from_url(driver.URL)

    def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        noop.apply_async(kwargs=payload)

    async def left(self) -> int:
        """Count what waits or was not acknowledged."""
        return int(self._redis.llen("celery")) + int(self._redis.hlen("unacked"))


if __name__ == "__main__":
    driver.serve(CeleryAdapter())
