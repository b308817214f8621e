"""Room for running jobs: how many more a worker may take, of each job type and in all, and how large ones."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping

from emp_core.store import Pool
from emp_worker.jobtypes import Isolation, JobType


class Slots:
    """Counts the slots that are taken. Types of one isolation share its pool; a type may have a limit of its own.

    `changed` is set when a slot becomes free; who waits for it clears it. With `most`, no slot is free any more after
    so many jobs, and `used_up` is set. None is free while the payloads of the jobs in slots have `max_bytes` or more;
    the last one taken may exceed that, so that a large job runs, too.
    """

    def __init__(
        self,
        types: Mapping[str, JobType],
        sizes: Mapping[Isolation, int],
        most: int | None = None,
        max_bytes: float = math.inf,
    ) -> None:
        self._types = types
        self._sizes = sizes
        self._taken_of_pool: Counter[Isolation] = Counter()
        self._taken_of_type: Counter[str] = Counter()
        self._left = math.inf if most is None else most
        self._bytes_left = max_bytes
        self.changed = asyncio.Event()
        self.used_up = asyncio.Event()

    @property
    def total(self) -> int:
        """How many jobs may run at once."""
        return sum(self._sizes[isolation] for isolation in {each.isolation for each in self._types.values()})

    @property
    def taken(self) -> int:
        """How many run now."""
        return self._taken_of_pool.total()

    def rooms(self) -> dict[str, int]:
        """Give the room of each type that has some."""
        if self._bytes_left <= 0:
            return {}
        rooms: dict[str, int] = {}
        for name, job_type in self._types.items():
            room = self._sizes[job_type.isolation] - self._taken_of_pool[job_type.isolation]
            if job_type.concurrency is not None:
                room = min(room, job_type.concurrency - self._taken_of_type[name])
            room = int(min(room, self._left))
            if room > 0:
                rooms[name] = room
        return rooms

    def pools(self) -> dict[str, Pool]:
        """Give the pool that each type draws on."""
        pools = {kind: Pool(kind, size - self._taken_of_pool[kind]) for kind, size in self._sizes.items()}
        return {name: pools[job_type.isolation] for name, job_type in self._types.items()}

    def free(self) -> int:
        """Give how many jobs may still be taken, of all types together."""
        return int(min(self._left, sum(max(0, size - self._taken_of_pool[kind]) for kind, size in self._sizes.items())))

    def free_bytes(self) -> float:
        """Return the bytes of payloads that may still be taken."""
        return self._bytes_left

    def take(self, job_type: str, payload_bytes: int) -> None:
        """Take a slot for a job of this type."""
        self._bytes_left -= payload_bytes
        self._taken_of_pool[self._types[job_type].isolation] += 1
        self._taken_of_type[job_type] += 1
        self._left -= 1
        if self._left == 0:
            self.used_up.set()

    def give_back(self, job_type: str, payload_bytes: int) -> None:
        """Free a job's slot."""
        self._bytes_left += payload_bytes
        self._taken_of_pool[self._types[job_type].isolation] -= 1
        self._taken_of_type[job_type] -= 1
        self.changed.set()
