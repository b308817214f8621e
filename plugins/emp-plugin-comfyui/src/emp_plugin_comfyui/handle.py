"""What is kept with a job across its attempts: which of its runs is under way at the server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from emp_worker import JobContext

_RUNS: Final = uuid.UUID("5b0f43a1-0a52-4f5f-8c55-2f1fb9f2d3c6")
"""The namespace (RFC 9562, version 5) of the ids of runs."""


@dataclass(frozen=True, slots=True)
class Handle:
    """One run of a job: its number, and its id at the server.

    The id follows from the job and the number, so a run whose handle or answer was lost is found all the same.
    """

    job_id: str
    number: int
    prompt_id: str

    @classmethod
    def numbered(cls, job_id: str, number: int) -> Handle:
        """Name the n-th run of a job."""
        return cls(job_id, number, str(uuid.uuid5(_RUNS, f"{job_id}/{number}")))

    @classmethod
    def kept(cls, job: JobContext) -> Handle | None:
        """Read what an earlier attempt has kept; None if there is nothing."""
        match job.handle:
            case {"number": int(number), "prompt_id": str(prompt_id)}:
                return cls(job.job_id, number, prompt_id)
        return None

    @property
    def client_id(self) -> str:
        """Who hears of the run: the same in every attempt, also where an old server has chosen the run's id."""
        return Handle.numbered(self.job_id, self.number).prompt_id

    def next(self) -> Handle:
        """Give the run that follows, for when this one has come to nothing."""
        return Handle.numbered(self.job_id, self.number + 1)

    def value(self) -> dict[str, str | int]:
        """Write it as JSON."""
        return {"number": self.number, "prompt_id": self.prompt_id}
