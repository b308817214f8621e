"""Who takes what a claimer has claimed, and performs none of it."""

from __future__ import annotations

import asyncio

from emp_core.jobs import ClaimedJob
from emp_worker import JobType
from emp_worker.jobtypes import Isolation
from emp_worker.slots import Slots
from support.bench import TYPE, Nothing


async def _nothing(payload: Nothing) -> None:
    """Do nothing."""


class Taken:
    """The jobs that were handed on, and how many of them when the claimer said that they may start."""

    def __init__(self, slots: int = 5) -> None:
        self.slots = Slots({TYPE: JobType(TYPE, _nothing)}, dict.fromkeys(Isolation, slots))
        self.jobs: list[ClaimedJob] = []
        self.started = 0
        self.has_started = asyncio.Event()

    def begin(self, job: ClaimedJob, _asked_at: int = 0) -> None:
        """Take a job and a slot."""
        self.slots.take(job.job_type, len(job.payload))
        self.jobs.append(job)

    def start_fresh(self) -> None:
        """Note how many may start."""
        self.started = len(self.jobs)
        if self.jobs:
            self.has_started.set()
