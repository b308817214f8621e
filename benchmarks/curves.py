"""Measure what EMP costs as it grows: job types, idle workers, payload sizes (`python -m benchmarks.curves`).

Each point is a store of its own making: filled, drained by one worker, emptied. Prints tables; compare a table's rows
only with each other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.bench_store import BenchStore
from benchmarks.contestants import HOME, Driver, Stage, install, read_contestants, stage
from benchmarks.measures import Found, drain, fill, latency
from benchmarks.report import table

TYPES: Final = (1, 10, 100)
IDLE_WORKERS: Final = (0, 1, 10, 50, 200)
SIZES: Final = (200, 1_024, 10_240, 102_400, 1_048_576)
_JOBS: Final = 20_000
_BYTES: Final = 256 * 1024 * 1024


def main() -> int:
    """Measure the three curves."""
    emp = read_contestants()["emp"]
    why_not = install(emp)
    if why_not is not None:
        print(why_not, file=sys.stderr)
        return 1
    with BenchStore(HOME) as store:
        on = stage(emp, store)
        for title, points, measure in (
            ("job types", TYPES, _of_types),
            ("idle workers of another type", IDLE_WORKERS, _beside_idle_workers),
            ("bytes of payload", SIZES, _of_size),
        ):
            print(_curve(on, title, points, measure), end="\n\n", flush=True)
    return 0


def _curve(on: Stage, title: str, points: Iterable[int], measure: Callable[[Stage, Driver, int], Found]) -> str:
    rows: list[Sequence[str]] = []
    names: list[str] = []
    for point in points:
        on.store.empty()
        with on.driver() as driver:
            found = measure(on, driver, point)
        names = list(found)
        rows.append([f"{point:,}", *(f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in found.values())])
    return table([title, *names], rows)


def _of_types(on: Stage, driver: Driver, count: int) -> Found:
    """Drain jobs of so many types, in turn, with a worker that serves as many."""
    driver.ask("other", method="use_types", count=count)
    fill(on, driver, _JOBS)
    with on.workers(1, EMP_PLUGINS="bench" if count == 1 else "bench_many") as workers:
        return _short(drain(on, driver, workers))


def _beside_idle_workers(on: Stage, driver: Driver, count: int) -> Found:
    """Drain, and measure the latency, while other workers hold leases and wait at a bell."""
    driver.ask("other", method="stand_idle", count=count)
    fill(on, driver, _JOBS)
    with on.workers(1) as workers:
        return {**_short(drain(on, driver, workers)), **latency(on, driver)}


def _of_size(on: Stage, driver: Driver, size: int) -> Found:
    """Submit and drain jobs with payloads of a size."""
    jobs = max(100, min(_JOBS, _BYTES // size))
    seconds = driver.ask("submit", how="bulk", count=jobs, size=size)["seconds"]
    with on.workers(1) as workers:
        found = _short(drain(on, driver, workers))
    return {"submit_bulk": jobs / seconds, **found, "drain_mib_per_second": found["drain"] * size / 2**20}


def _short(found: Found) -> Found:
    return {what: found[what] for what in ("drain", "drain_worker_us", "drain_store_us", "drain_commands")}


if __name__ == "__main__":
    sys.exit(main())
