"""The part of the contract that performs handlers: do they complete, leave the loop to others, and end when told to?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from emp_core.jobs import Cancelled, Completed
from emp_worker.findings import Finding, Verdict
from emp_worker.jobtypes import JobType
from emp_worker.testing import JobRun, run_job_async

LOOP_BOUND: Final = 1.0
"""Seconds that an async handler may keep its worker's loop from everything else."""
CANCEL_BOUND: Final = 5.0
"""Seconds within which a handler should end that was called off."""
RUN_BOUND: Final = 60.0
"""Seconds after which an example is called off, where the job type has no shorter timeout."""
_CANCEL_AFTER: Final = 0.05
_TICK: Final = 0.01

Entering = Callable[[str, str, float], None]
"""Hears of each step before it begins: the check, what is performed, and the seconds after which it is told to end."""


def perform_examples(
    job_type: JobType, payloads: Mapping[str, bytes], entering: Entering = lambda _check, _what, _seconds: None
) -> Iterator[Finding]:
    """Perform a handler on each payload, by what it is called, and once more on the first, to call it off."""
    if not payloads:
        for check in ("run", "cancel"):
            yield Finding(job_type.name, check, Verdict.SKIPPED, "there is no example to perform")
        return
    bound = RUN_BOUND if job_type.timeout is None else min(RUN_BOUND, job_type.timeout.total_seconds())
    sound = True
    for what, payload in payloads.items():
        entering("run", what, bound)
        for fault in _run_faults(job_type, payload):
            sound = False
            yield Finding(job_type.name, "run", Verdict.FAILED, f"{what} {fault}")
    if sound:
        yield Finding(job_type.name, "run", Verdict.OK)
    first, payload = next(iter(payloads.items()))
    entering("cancel", first, _CANCEL_AFTER)
    verdict, message = _called_off(job_type, payload)
    yield Finding(job_type.name, "cancel", verdict, message and f"{first} {message}")


def _run_faults(job_type: JobType, payload: bytes) -> Iterator[str]:
    """Check that the handler completes, that its result fits, and that it leaves the loop to others."""
    run, lag = asyncio.run(_watched(job_type, payload))
    if isinstance(run.outcome, Cancelled):
        yield f"was called off after {RUN_BOUND:g} s; give one that is through sooner"
    elif not isinstance(run.outcome, Completed):
        yield f"did not complete: {_told(run)}"
    if lag > LOOP_BOUND:
        yield f"blocked the event loop for {lag:.1f} s; await instead, or make it a `def` handler"


def _told(run: JobRun) -> str:
    error = run.error or {}
    kind, code = error.get("kind", type(run.outcome).__name__), error.get("code")
    return f"{kind}{f' [{code}]' if code else ''}: {error.get('message', '')}"


def _called_off(job_type: JobType, payload: bytes) -> tuple[Verdict, str]:
    """Check that the handler ends soon when it is called off; one that is through before has nothing to show."""
    began = time.monotonic()
    run = asyncio.run(run_job_async(job_type, payload, cancel_after=_CANCEL_AFTER))
    took = time.monotonic() - began
    if took > CANCEL_BOUND:
        remedy = "await" if job_type.is_async else "call job.raise_if_cancelled()"
        fault = f"went on for {took:.1f} s after it was called off; {remedy} between the steps of long work"
        return Verdict.FAILED, fault
    if isinstance(run.outcome, Cancelled | Completed):
        return Verdict.OK, ""
    return Verdict.SKIPPED, f"was not called off, it ended with {_told(run)}"


async def _watched(job_type: JobType, payload: bytes) -> tuple[JobRun, float]:
    """Perform an attempt, and measure the longest time that its loop could do nothing else."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            longest = max(longest, time.monotonic() - before - _TICK)

    ticking = asyncio.create_task(tick())
    run = await run_job_async(job_type, payload, cancel_after=RUN_BOUND)
    # A last turn: what blocked until the end has kept the tick from counting it.
    await asyncio.sleep(2 * _TICK)
    ticking.cancel()
    return run, longest
