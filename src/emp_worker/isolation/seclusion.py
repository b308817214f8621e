"""How far a job is kept away from others, by what is known against it."""

from __future__ import annotations

from enum import Enum
from typing import Final

from emp_core.jobs import ClaimedJob

LOSSES_UNTIL_ALONE: Final = 2


class Seclusion(Enum):
    """Where an attempt may run."""

    NONE = "where its job type says"
    CHILD = "in a child process that other jobs use before and after it"
    ALONE = "in a child process that no other job uses"


def seclusion_of(job: ClaimedJob) -> Seclusion:
    """Return how far a job must be kept away from others.

    The first loss may be that of a neighbour, and after the death of a worker all its jobs have one: children that they
    share run them again soon. A job that was running at two losses is tried alone.
    """
    if not job.is_in_doubt:
        return Seclusion.NONE
    return Seclusion.ALONE if job.losses >= LOSSES_UNTIL_ALONE else Seclusion.CHILD
