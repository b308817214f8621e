"""docket: `Docket.add` and `Docket.add_many`, and its Worker."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import uvloop
from docket import Docket, Worker

from benchmarks.adapters import driver


async def noop(sent: int, text: str) -> dict[str, bool]:
    """Do nothing."""
    driver.begun(sent)
    return {"ok": True}


async def work() -> None:
    """Run a worker."""
    async with Docket("bench", driver.URL) as docket:
        docket.register(noop)
        # Its default check interval of 250 ms allows 41 jobs a second; both intervals are documented as the knobs.
        often = timedelta(milliseconds=10)
        async with Worker(docket, concurrency=100, minimum_check_interval=often, scheduling_resolution=often) as worker:
            await worker.run_forever()


class DocketAdapter(driver.Adapter):
    """A docket."""

    async def open(self) -> None:
        """Connect."""
        self._docket = await Docket("bench", driver.URL).__aenter__()
        self._docket.register(noop)
        await self._docket._ensure_stream_and_group()

    async def submit(self, payload: dict[str, Any]) -> None:
        """Submit one job."""
        await self._docket.add(noop)(**payload)

    async def submit_many(self, payloads: list[dict[str, Any]]) -> None:
        """Submit many jobs."""
        await self._docket.add_many([self._docket.call(noop)(**payload) for payload in payloads])

    async def left(self) -> int:
        """Count what was not acknowledged: it leaves the stream then."""
        async with self._docket.redis() as redis:
            return int(await redis.xlen(self._docket.stream_key))


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        uvloop.run(work())
    else:
        driver.serve(DocketAdapter())
