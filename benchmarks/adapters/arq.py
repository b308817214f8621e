"""arq: `ArqRedis.enqueue_job`, and its Worker without the logging of every job that its command sets up."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from arq import Worker, create_pool
from arq.connections import RedisSettings

from benchmarks.adapters import driver

SETTINGS = RedisSettings(host=driver.HOST, port=driver.PORT)


async def noop(ctx: dict[str, Any], payload: dict[str, Any]) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(payload["sent"])
    return {"ok": True}


def work() -> None:
    """Run a worker."""
    asyncio.set_event_loop(uvloop.new_event_loop())
    # https://arq-docs.helpmanual.io: it polls; half a second (the default) allows 219 jobs a second, 10 ms is the best.
    Worker([noop], redis_settings=SETTINGS, max_jobs=100, poll_delay=0.01).run()


class ArqAdapter(driver.Adapter):
    """The pool of arq."""

    async def open(self) -> None:
        """Connect."""
        self._pool = await create_pool(SETTINGS)

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await self._pool.enqueue_job("noop", payload)

    async def left(self) -> int:
        """Count what has not ended: a job leaves the set when its result is stored."""
        return int(await self._pool.zcard("arq:queue"))


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        work()
    else:
        driver.serve(ArqAdapter())
