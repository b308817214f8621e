"""A hundred job types that all do nothing, to see what a type costs."""

from __future__ import annotations

from emp_plugin_bench import noop
from emp_worker import JobType, hookimpl


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare `bench.noop_00` to `bench.noop_99`."""
    return [JobType(f"bench.noop_{number:02}", noop, examples=[{"sent": 0, "text": "x"}]) for number in range(100)]
