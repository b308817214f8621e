"""One contestant's turn within a round, and what a round consists of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks import http_measures
from benchmarks.bench_store import BenchStore
from benchmarks.contestants import Contestant, Stage, stage
from benchmarks.figures import Figure
from benchmarks.measures import Found, depths, drain, fill, idle, latency, submit_all

ROUND_TRIPS = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: of whom, how often and for how long. What takes long is measured in the first round only."""

    rounds: int
    contestants: tuple[str, ...]
    only_latency: tuple[str, ...]
    idle_seconds: float
    depths: tuple[int, ...]
    wrk_seconds: int
    streams: bool


QUICK = Plan(
    rounds=3,
    contestants=("emp", "saq", "bullmq", "bare"),
    only_latency=("taskiq",),
    idle_seconds=15,
    depths=(1_000, 100_000),
    wrk_seconds=3,
    streams=False,
)
FULL = Plan(
    rounds=5,
    contestants=(
        "emp", "saq", "bullmq", "bare", "taskiq", "streaq", "arq", "dramatiq", "docket", "celery", "rq",
    ),
    only_latency=(),
    idle_seconds=20,
    depths=(1_000, 100_000, 1_000_000),
    wrk_seconds=5,
    streams=True,
)  # fmt: skip


class Faults(dict[str, str]):
    """What could not be measured, and why."""

    def catch(self, name: str, measure: Callable[[], Found]) -> Found:
        """Measure; what fails is noted, and the others go on."""
        try:
            return measure()
        except (RuntimeError, OSError, KeyError, ValueError) as error:
            self[name] = str(error) or repr(error)
            print(f"{name}: {self[name]}", file=sys.stderr)
            return {}


def one_round(
    plan: Plan, number: int, contestants: Mapping[str, Contestant], store: BenchStore, faults: Faults
) -> dict[Figure, float]:
    """Measure all contestants once, one after the other."""
    found: dict[Figure, float] = {}
    for name, measure in _turns(plan, contestants, store, is_first=number == 0):
        print(f"round {number + 1}: {name}", file=sys.stderr)
        store.empty()
        who = name.partition(" ")[0]
        found |= {Figure(who, what): value for what, value in faults.catch(name, measure).items()}
    return found


def _turns(
    plan: Plan, contestants: Mapping[str, Contestant], store: BenchStore, *, is_first: bool
) -> Iterator[tuple[str, Callable[[], Found]]]:
    for name in plan.contestants:
        if name in contestants:
            on = stage(contestants[name], store)
            yield name, partial(_bare, on) if name == "bare" else partial(_peer, on, plan, is_first=is_first)
    for name in plan.only_latency:
        if name in contestants:
            yield name, partial(_only_latency, stage(contestants[name], store))
    emp = stage(contestants["emp"], store)
    if http_measures.has_wrk():
        for who in ("emp", "asgi", "fastapi"):
            yield f"{who} HTTP", partial(_http, emp, who, plan)
    if is_first:
        yield "emp depth", partial(_depths, emp, plan)
        if plan.streams:
            yield "emp wait", partial(_waits, emp)
            yield "emp fan-out", partial(_fan_out, emp)


def _peer(on: Stage, plan: Plan, *, is_first: bool) -> Found:
    """Submit, drain with one worker, then leave it idle; then drain with two."""
    with on.driver() as driver:
        found = submit_all(on, driver)
        with on.workers(1) as workers:
            found |= drain(on, driver, workers)
            found["worker_mib"] = workers[0].memory_mib()
            found |= latency(on, driver)
            if is_first:
                found |= idle(on.store, workers, plan.idle_seconds)
        fill(on, driver, on.contestant.counts["two"])
        with on.workers(2) as workers:
            found |= {
                what.replace("drain", "drain_two", 1): value for what, value in drain(on, driver, workers).items()
            }
    return found


def _bare(on: Stage) -> Found:
    with on.driver() as driver:
        trips = driver.ask("other", method="round_trips", trips=ROUND_TRIPS)["answer"]
        found = submit_all(on, driver)
        with on.workers(1) as workers:
            return {"round_trips": trips, **found, **drain(on, driver, workers)}


def _only_latency(on: Stage) -> Found:
    with on.driver() as driver, on.workers(1) as workers:
        fill(on, driver, 500)
        drain(on, driver, workers)
        return latency(on, driver)


def _http(on: Stage, who: str, plan: Plan) -> Found:
    if who == "emp":
        http_measures.announce(on)
    return http_measures.submissions(on, who, plan.wrk_seconds)


def _depths(on: Stage, plan: Plan) -> Found:
    with on.driver() as driver:
        return depths(on, driver, plan.depths)


def _waits(on: Stage) -> Found:
    http_measures.announce(on)
    return http_measures.waits(on)


def _fan_out(on: Stage) -> Found:
    http_measures.announce(on)
    return http_measures.fan_out(on)
