"""Work that takes its time, reports its progress and may fail: `simulation.run` and `simulation.run_blocking`."""

from __future__ import annotations

import asyncio
import time

from emp_plugin_simulation.simulation import Simulation, SimulationResult, Steps
from emp_worker import JobContext, JobType, hookimpl

__all__ = ["RUN", "RUN_BLOCKING", "Simulation", "SimulationResult", "emp_job_types"]

_LONGEST_SLEEP = 0.1


async def run(payload: Simulation, job: JobContext) -> SimulationResult:
    """Walk through steps that wait on the worker's loop."""
    steps = Steps(payload, job)
    for seconds in steps:
        await asyncio.sleep(seconds)
    return steps.result()


def run_blocking(payload: Simulation, job: JobContext) -> SimulationResult:
    """Walk through steps that wait in a thread; stops within a tenth of a second when it is called off."""
    steps = Steps(payload, job)
    for seconds in steps:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            job.raise_if_cancelled()
            time.sleep(min(left, _LONGEST_SLEEP))
        job.raise_if_cancelled()
    return steps.result()


_EXAMPLES = (
    {"steps": 3, "step_seconds": 0.1},
    {"steps": 10, "step_seconds": 0.05, "failure_chance": 0.2, "seed": 7},
    {"steps": 20, "step_seconds": 0.02, "latency": "lognormal", "latency_spread": 1.5, "latency_cap_seconds": 0.5},
)

RUN = JobType("simulation.run", run, title="Simulation", examples=_EXAMPLES)
RUN_BLOCKING = JobType("simulation.run_blocking", run_blocking, title="Simulation (blocking)", examples=_EXAMPLES)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare both variants."""
    return [RUN, RUN_BLOCKING]
