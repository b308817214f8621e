"""dramatiq: `Actor.send`, and the worker of its command; without results, as most use it."""

from __future__ import annotations

from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from benchmarks.adapters import driver

broker = RedisBroker(url=driver.URL)
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop")
def noop(sent: int, text: str) -> None:
    """Do nothing."""
    driver.begun(sent)


class DramatiqAdapter(driver.Adapter):
    """The broker of dramatiq."""

    async def open(self) -> None:
        """Connect."""
        self._redis = redis.Redis.from_url(driver.URL)

    def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        noop.send(**payload)

    async def left(self) -> int:
        """Count what waits or was not acknowledged: its message is kept until then."""
        return int(self._redis.hlen("dramatiq:default.msgs"))


if __name__ == "__main__":
    driver.serve(DramatiqAdapter())
