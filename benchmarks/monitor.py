"""Measure the monitor's pages on a full store: `python -m benchmarks.monitor` (`make bench-monitor`).

1,000,000 jobs wait, 100,000 have ended, 200 workers are registered and not started. Says the 95th percentile of each
page's answer, then how a page fares while jobs end as fast as one process can let them. Exits 1 if a page misses GOAL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2

from emp_core.cli.stack import SERVER, Stack
from emp_core.ids import JobId, WorkerId, new_job_id, new_worker_id
from emp_core.jobs import Announcement, Completed, Failed, Reason, Started, Submission
from emp_core.store import Store, open_store
from emp_core.store.embedded import EmbeddedStore

GOAL: Final = 0.2
"""Seconds: the 95th percentile of every page."""
NAMESPACE: Final = "bench"
TYPES: Final = tuple(f"bench.type{number}" for number in range(10))
BATCH: Final = 200
WARM_UP: Final = 3
STORM: Final = 10.0
"""Seconds for which jobs end while a page is open."""
RENEW_EVERY: Final = 4.0
ERROR: Final = b'{"kind":"ValueError","message":"no","traceback":"line 1"}'
PAYLOAD: Final = b'{"text":"' + b"x" * 180 + b'"}'


@dataclass(slots=True)
class Full:
    """What the store was filled with."""

    workers: list[WorkerId] = field(default_factory=list)
    waiting: list[JobId] = field(default_factory=list)
    ended: list[JobId] = field(default_factory=list)
    claims: int = 0


def main() -> int:
    """Fill a store, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--ended", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--requests", type=int, default=40, help="for each page")
    return asyncio.run(_measure(parser.parse_args()))


async def _measure(wanted: argparse.Namespace) -> int:
    with EmbeddedStore() as embedded:
        async with open_store(embedded.url, NAMESPACE) as store:
            began = time.monotonic()
            full = await _fill(store, wanted.waiting, wanted.ended, wanted.workers)
            print(f"{wanted.waiting:,} waiting, {wanted.ended:,} ended, {wanted.workers} workers", end=" ")
            print(f"(filled in {time.monotonic() - began:.0f} s)\n")
            with _server(embedded.url) as url:
                async with (
                    _renewed(store, full),
                    httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client,
                ):
                    await _until_ready(client)
                    late = await _pages(client, full, wanted.requests)
                    await _storm(client, store, full)
    return 1 if late else 0


async def _fill(store: Store, waiting: int, ended: int, workers: int) -> Full:
    full = Full()
    await store.types.announce(
        [Announcement(job_type=name, digest="d", distribution="bench", version="1") for name in TYPES]
    )
    for number in range(workers):
        worker = new_worker_id()
        types = dict.fromkeys(TYPES, "d")
        told = {"name": f"worker-{number}", "host": f"host-{number % 20}", "pid": number, "version": "1"}
        await store.workers.register(worker, {**told, "slots": 100, "types": types, "plugins": []})
        full.workers.append(worker)
    for start in range(0, ended, BATCH):
        await _submit(store, min(BATCH, ended - start))
        full.ended += await _end_some(store, full)
    for start in range(0, waiting, 10 * BATCH):
        sizes = [min(BATCH, waiting - start - part) for part in range(0, min(10 * BATCH, waiting - start), BATCH)]
        made = await asyncio.gather(*(_submit(store, size) for size in sizes))
        full.waiting.append(made[0][0])
    return full


async def _submit(store: Store, number: int) -> list[JobId]:
    ids = [new_job_id() for _ in range(number)]
    jobs = [Submission(id_, TYPES[at % len(TYPES)], PAYLOAD, tags=("bench",)) for at, id_ in enumerate(ids)]
    await store.jobs.submit(jobs)
    return ids


async def _end_some(store: Store, full: Full) -> list[JobId]:
    """Claim, begin and end a batch of jobs, one in fifty badly."""
    full.claims += 1
    worker = full.workers[0]
    jobs = (await store.jobs.claim(worker, full.claims, dict.fromkeys(TYPES, BATCH), BATCH)).jobs
    await store.jobs.start(worker, [Started(job.job_id, job.token) for job in jobs])
    bad, good = jobs[: len(jobs) // 50], jobs[len(jobs) // 50 :]
    await store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.ERROR, ERROR) for job in bad])
    await store.jobs.complete(worker, [Completed(job.job_id, job.token, PAYLOAD) for job in good])
    return [job.job_id for job in jobs]


@contextmanager
def _server(redis_url: str) -> Iterator[str]:
    stack = Stack(redis_url, NAMESPACE, grace=1.0)
    stack.start_part(SERVER)
    try:
        yield stack.url
    finally:
        stack.stop()


async def _until_ready(client: httpx2.AsyncClient) -> None:
    while True:
        try:
            if (await client.get("/readyz")).is_success:
                return
        except httpx2.TransportError:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _renewed(store: Store, full: Full) -> AsyncIterator[None]:
    """Keep the leases of all workers while the body runs."""

    async def renew() -> None:
        while True:
            for worker in full.workers:
                await store.workers.renew(worker, 0.0)
            await asyncio.sleep(RENEW_EVERY)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def _pages(client: httpx2.AsyncClient, full: Full, requests: int) -> list[str]:
    """Print a line for each page; give those that are late."""
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
    for path in ("/jobs", "/jobs?state=pending", "/jobs?state=completed", "/jobs?tag=bench"):
        following = re.search(r'rel="next" href="([^"]+)"', (await client.get(path)).text)
        if following is not None:
            paths.append(following[1].replace("&amp;", "&"))
    late = []
    print(f"{'p50 ms':>8} {'p95 ms':>8}  page")
    for path in paths:
        times = [await _timed(client, path) for _ in range(WARM_UP + requests)][WARM_UP:]
        p95 = statistics.quantiles(times, n=20)[-1]
        late += [path] if p95 > GOAL else []
        print(f"{statistics.median(times) * 1000:8.1f} {p95 * 1000:8.1f}  {path[:90]}{'  LATE' if p95 > GOAL else ''}")
    return late


async def _timed(client: httpx2.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(path)
    took = time.perf_counter() - began
    assert answer.status_code == 200, (path, answer.status_code)
    return took


async def _storm(client: httpx2.AsyncClient, store: Store, full: Full) -> None:
    """Let jobs end as fast as they can, and say how often an open page was told, and how long its fetches took."""
    told, times = 0, []

    async def watch() -> None:
        nonlocal told
        async with client.stream("GET", "/ui/live", timeout=None) as stream:
            async for line in stream.aiter_lines():
                if line == "event: changed":
                    told += 1
                    times.append(await _timed(client, "/"))

    watching = asyncio.create_task(watch())
    began, moves = time.monotonic(), 0
    while (passed := time.monotonic() - began) < STORM:
        moves += 3 * len(await _end_some(store, full))  # claimed, begun, ended
    watching.cancel()
    await asyncio.wait([watching])
    worst = f"{max(times) * 1000:.0f} ms at most" if times else "never fetched"
    print(
        f"\nopen page: {moves / passed:,.0f} updates a second passed, it was told {told / passed:.1f} times a second;"
    )
    print(f"each time it fetched itself: {worst}, with the load on the same cores")
    print(json.dumps({"updates_per_second": round(moves / passed), "told_per_second": round(told / passed, 2)}))


if __name__ == "__main__":
    sys.exit(main())
