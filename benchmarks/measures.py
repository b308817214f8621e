"""What is measured of every contestant: submitting, draining, latency, memory and the cost of idling."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.bench_store import BenchStore, Counters
from benchmarks.contestants import Driver, Stage
from benchmarks.figures import percentile
from benchmarks.processes import Program, busy_seconds

Found = dict[str, float]
"""What was measured of one contestant, by name."""

LATENCY_JOBS: Final = 300
LATENCY_GAP: Final = 0.01
SETTLE: Final = 2.0
_POLL: Final = 0.01
_STARTS_WITHIN: Final = 30.0
_ENDS_WITHIN: Final = 240.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the clocks and counters said at one moment."""

    at: float
    left: int
    worker: float
    busy: tuple[float, float]


def submit_all(stage: Stage, driver: Driver) -> Found:
    """Submit one by one, 50 at once and in bulk; gives jobs per second and the bytes of a waiting job."""
    found: Found = {}
    for how, what in (("one", "one"), ("concurrent", "at_once"), ("bulk", "bulk")):
        count = stage.contestant.counts.get(what)
        if count is None:
            continue
        before = stage.store.memory()
        seconds = driver.ask("submit", how=how, count=count)["seconds"]
        if seconds is not None:
            found[f"submit_{what}"] = count / seconds
            found["waiting_bytes"] = (stage.store.memory() - before) / count
    return found


def fill(stage: Stage, driver: Driver, count: int) -> None:
    """Submit jobs in the fastest way that there is."""
    if driver.ask("submit", how="bulk", count=count)["seconds"] is None:
        driver.ask("submit", how="concurrent", count=count)


def drain(stage: Stage, driver: Driver, workers: list[Program], *, until: int = 0) -> Found:
    """Watch workers do what waits; gives jobs per second, and what a job cost.

    The time begins with the first job that ends, so that the start of the workers does not count.
    """
    first, before = _first_end(stage, driver, workers)
    until = max(until, stage.contestant.strands)
    deadline = time.monotonic() + _ENDS_WITHIN
    while (now := _read(driver, workers)).left > until:
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{stage.contestant.name}: {now.left} jobs have not ended")
        time.sleep(_POLL)
    after = stage.store.counters()
    jobs, seconds = first.left - now.left, now.at - first.at
    return {
        "drain": jobs / seconds,
        "drain_busy": (now.busy[0] - first.busy[0]) / (now.busy[1] - first.busy[1]),
        "drain_commands": (after.commands - before.commands) / jobs,
        "drain_reads": (after.reads - before.reads) / jobs,
        "drain_worker_us": (now.worker - first.worker) / jobs * 1e6,
        "drain_store_us": (after.cpu_seconds - before.cpu_seconds) / jobs * 1e6,
    }


def _first_end(stage: Stage, driver: Driver, workers: list[Program]) -> tuple[_Reading, Counters]:
    """Give the last reading before the first job ended."""
    deadline = time.monotonic() + _STARTS_WITHIN
    first, before = _read(driver, workers), stage.store.counters()
    while (now := _read(driver, workers)).left == first.left:
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{stage.contestant.name}: no job has ended; see {stage.logs.name}/")
        first, before = now, stage.store.counters()
        time.sleep(_POLL)
    return first, before


def _read(driver: Driver, workers: list[Program]) -> _Reading:
    left = driver.ask("left")["left"]
    return _Reading(time.perf_counter(), left, sum(worker.cpu_seconds() for worker in workers), busy_seconds())


def latency(stage: Stage, driver: Driver, jobs: int = LATENCY_JOBS) -> Found:
    """Submit to an idle worker; gives the milliseconds from the call to the start of the handler."""
    stage.latencies.unlink(missing_ok=True)
    driver.ask("latency", count=jobs, gap=LATENCY_GAP)
    deadline = time.monotonic() + 10
    while len(times := _milliseconds(stage)) < jobs and time.monotonic() < deadline:
        time.sleep(0.05)
    if len(times) < jobs:
        raise RuntimeError(f"{stage.contestant.name}: {jobs - len(times)} of {jobs} jobs did not begin")
    return {
        "latency_p50": percentile(times, 50),
        "latency_p99": percentile(times, 99),
        "latency_max": max(times),
    }


def _milliseconds(stage: Stage) -> list[float]:
    if not stage.latencies.exists():
        return []
    return [int(line) / 1e6 for line in stage.latencies.read_text().split(os.linesep) if line]


def idle(store: BenchStore, workers: list[Program], seconds: float) -> Found:
    """Leave workers alone; gives what they ask of the store and use of a core meanwhile.

    `idle_commands` are those that they send; `idle_commands_inside` counts what runs inside scripts as well.
    """
    time.sleep(SETTLE)
    cpu, before, began = sum(worker.cpu_seconds() for worker in workers), store.counters(), time.perf_counter()
    sent, inside = store.overhear(seconds)
    after, took = store.counters(), time.perf_counter() - began
    return {
        "idle_commands": sent / took,
        "idle_commands_inside": (sent + inside) / took,
        "idle_cpu_percent": (sum(worker.cpu_seconds() for worker in workers) - cpu) / took * 100,
        "idle_store_cpu_percent": (after.cpu_seconds - before.cpu_seconds) / took * 100,
    }


def depths(stage: Stage, driver: Driver, waiting: tuple[int, ...]) -> Found:
    """Drain from lines of different lengths with one warm worker; gives jobs per second, by length.

    Nothing is claimed while a line is filled. Of a long line only the first jobs are drained: as long as it is long.
    """
    found: Found = {}
    with stage.workers(1) as workers:
        for count in waiting:
            rates: list[float] = []
            while len(rates) < (5 if count <= 1_000 else 1):
                with _held(driver):
                    fill(stage, driver, count)
                part = drain(stage, driver, workers, until=max(0, count - 20_000))
                rates.append(part["drain"])
            found[f"depth_{count}"] = sorted(rates)[len(rates) // 2]
            if count > 20_000:
                found["depth_deepest"] = found[f"depth_{count}"]
    return found


@contextmanager
def _held(driver: Driver) -> Iterator[None]:
    driver.ask("other", method="hold")
    yield
    driver.ask("other", method="let_go")
