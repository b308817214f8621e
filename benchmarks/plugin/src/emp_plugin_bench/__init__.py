"""The no-op job `bench.noop`: validated in and out like any other, it does nothing in between."""

from __future__ import annotations

import os
import time

from pydantic import BaseModel, ConfigDict, Field

from emp_worker import JobType, hookimpl

__all__ = ["Done", "Noop", "emp_job_types", "noop"]


class Noop(BaseModel):
    """Nothing to do."""

    model_config = ConfigDict(extra="forbid")

    sent: int = Field(description="when it was submitted, on the machine's monotonic clock in nanoseconds, or 0")
    text: str = Field(description="filling")


class Done(BaseModel):
    """Nothing was done."""

    ok: bool = Field(description="always true")


async def noop(payload: Noop) -> Done:
    """Note the latency of a job that says when it was sent, and end."""
    if payload.sent:
        now = time.monotonic_ns()
        latencies = os.open(os.environ["BENCH_LATENCIES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(latencies, b"%d\n" % (now - payload.sent))
        os.close(latencies)
    return Done(ok=True)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare the one type."""
    return [JobType("bench.noop", noop, title="No-op", examples=[{"sent": 0, "text": "x"}])]
