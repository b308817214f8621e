"""Measure the monitor on a full store: `PYTHONPATH=tests python -m benchmarks.monitor` (`make bench-monitor`).

1,000,000 jobs wait, 100,000 have ended, 200 workers are registered and not started. Says the 95th percentile of each
page's answer, then how open pages fare in a browser while 10,000 jobs a second pass. Exits 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.flood import channel_of, record
from benchmarks.full_store import TYPES, Full, end_some, fill, renewed, submit
from benchmarks.lines import Line, table
from benchmarks.open_pages import Scene, measure, moves_per_job
from benchmarks.processes import Program
from benchmarks.serving import server_on
from emp_core.store import Store, open_store
from emp_core.store.embedded import EmbeddedStore

GOAL: Final = 0.2
"""Seconds: the 95th percentile of every page."""
NAMESPACE: Final = "bench"
WARM_UP: Final = 3
IN_A_CALL: Final = 100
"""Jobs that move in one call of the store, and so in one publication: as many as a worker has slots."""
FEW: Final = 20
"""Jobs that end now and then while pages are open."""


def main() -> int:
    """Fill a store, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--ended", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--requests", type=int, default=40, help="for each page")
    return asyncio.run(_measure(parser.parse_args()))


async def _measure(wanted: argparse.Namespace) -> int:
    began = time.monotonic()
    with EmbeddedStore() as embedded, tempfile.TemporaryDirectory() as logs:
        async with open_store(embedded.url, NAMESPACE) as store:
            full = await fill(store, wanted.waiting, wanted.ended, wanted.workers)
            print(f"{wanted.waiting:,} waiting, {wanted.ended:,} ended, {wanted.workers} workers", end=" ")
            print(f"(filled in {time.monotonic() - began:.0f} s)\n")
            async with renewed(store, full):
                with server_on(embedded.url, NAMESPACE, Path(logs), {}) as (server, url):
                    pages = await _pages(url, full, wanted.requests)
                    print(table(f"pages, p95 of {wanted.requests}", pages), flush=True)
                    scene = await _scene(embedded.url, store, full, server, url)
                    opened = await measure(scene)
    for title, lines in opened:
        print(f"\n{table(title, lines)}")
    print(f"\ntook {time.monotonic() - began:.0f} s")
    return 0 if all(line.holds for line in [*pages, *(line for _, lines in opened for line in lines)]) else 1


async def _pages(url: str, full: Full, requests: int) -> list[Line]:
    """Give a line for each page."""
    paths = [
        "/",
        "/?span=day",
        "/jobs",
        "/jobs?state=pending",
        f"/jobs?state=pending&job_type={TYPES[0]}",
        "/jobs?state=completed",
        f"/jobs?state=failed&job_type={TYPES[0]}",
        "/jobs?tag=bench",
        f"/jobs/{full.waiting[len(full.waiting) // 2]}",
        f"/jobs/{full.ended[0]}",
        "/types",
        f"/types/{TYPES[0]}",
        f"/types/{TYPES[0]}/run",
        "/workers",
        f"/workers/{full.workers[0]}",
        "/system",
    ]
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        for path in ("/jobs", "/jobs?state=pending", "/jobs?state=completed", "/jobs?tag=bench"):
            following = re.search(r'rel="next" href="([^"]+)"', (await client.get(path)).text)
            if following is not None:
                paths.append(following[1].replace("&amp;", "&"))
        return [await _line(client, path, requests) for path in paths]


async def _line(client: httpx2.AsyncClient, path: str, requests: int) -> Line:
    times = [await _timed(client, path) for _ in range(WARM_UP + requests)][WARM_UP:]
    also = f"median {statistics.median(times) * 1e3:.0f}"
    return Line(path[:60], statistics.quantiles(times, n=20)[-1] * 1e3, "ms", at_most=GOAL * 1e3, also=also)


async def _timed(client: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(path)
    took = time.perf_counter() - began
    assert answer.status_code == 200, (path, answer.status_code)
    return took


async def _scene(redis_url: str, store: Store, full: Full, server: Program, url: str) -> Scene:
    """Record what a life of a hundred jobs publishes, for open pages to meet it as often as wanted."""
    channel = channel_of(NAMESPACE)

    async def live() -> None:
        await submit(store, IN_A_CALL)
        await end_some(store, full, IN_A_CALL)

    publications = await record(redis_url, channel, live)
    return Scene(
        server=server,
        url=url,
        redis_url=redis_url,
        channel=channel,
        publications=publications,
        moves_per_job=moves_per_job(publications),
        end_some=lambda: end_some(store, full, FEW),
    )


if __name__ == "__main__":
    sys.exit(main())
