"""Put jobs into rows: what each says of itself, and for a failed one what its error says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emp_core.jobs import FINAL_STATES, RUNNING_STATES, Job, JobState
from emp_core.store import Store
from emp_server.monitor.legible import message_of

ERROR_HEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list, with the words beside it: its error's message, or what its handler said last."""

    job: Job
    about: str

    @property
    def is_running(self) -> bool:
        """Whether a worker holds it."""
        return self.job.state in RUNNING_STATES

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it has not ended."""
        return self.job.state not in FINAL_STATES

    @property
    def can_be_revived(self) -> bool:
        """Whether it ended without a result."""
        return self.job.state in {JobState.FAILED, JobState.CANCELLED}


async def job_rows(store: Store, jobs: Sequence[Job]) -> list[JobRow]:
    """Give the rows of jobs, in order.

    Raises:
        StoreUnavailable: the errors cannot be read now.
    """
    failed = [job.job_id for job in jobs if job.state is JobState.FAILED]
    heads = await store.glances.error_heads(failed, ERROR_HEAD)
    errors = dict(zip(failed, heads, strict=True))
    return [JobRow(job, message_of(errors.get(job.job_id)) or job.message) for job in jobs]
