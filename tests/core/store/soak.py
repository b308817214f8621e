"""A driver that does anything that clients, workers and the janitor may do, in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from emp_core.ids import JobId, WorkerId, new_job_id
from emp_core.jobs import ClaimedJob, Idempotency
from emp_core.store import ClaimWord

from .conftest import WRITES, Engine

TYPES = ("test.a", "test.b")
VERBS = (
    *("submit", "submit_later", "submit_expiring", "submit_again", "submit", *["claim"] * 8, "claim_again"),
    *WRITES,
    *("write_late", "cancel_ask", "revive", "pause", "resume", "lose", "leave", "drain", "pass_time", "sweep"),
)

Step = tuple[str, int]
"""A verb, and a number that chooses among what it may be done to."""


def random_steps(seed: int, count: int) -> list[Step]:
    """Give steps that follow from a seed."""
    chance = random.Random(seed)
    return [(chance.choice(VERBS), chance.randrange(1000)) for _ in range(count)]


@dataclass
class Soak:
    """What the driver knows of what it has done."""

    engine: Engine
    ids: list[JobId] = field(default_factory=list)
    workers: list[WorkerId] = field(default_factory=list)
    active: list[WorkerId] = field(default_factory=list)
    claims: list[tuple[WorkerId, ClaimedJob]] = field(default_factory=list)
    late: list[tuple[WorkerId, ClaimedJob]] = field(default_factory=list)

    async def run(self, steps: Sequence[Step]) -> None:
        """Do the steps, one after the other."""
        for verb, n in steps:
            await self._step(verb, n)

    async def end(self) -> None:
        """Let everything come to its end: no type paused, all jobs called off, all workers gone, retention over."""
        for job_type in TYPES:
            await self.engine.store.types.resume(job_type)
        for job_id in self.ids:
            await self.engine.ask_cancel(job_id)
        for worker in self.workers:
            await self.engine.store.workers.leave(worker, "the end")
        await self.engine.sweep()
        await self.engine.pass_time(days=8)
        await self.engine.sweep()

    async def _step(self, verb: str, n: int) -> None:
        if verb.startswith("submit"):
            await self._submit(verb, n)
        elif verb.startswith("claim"):
            await self._claim(verb, n)
        elif verb in WRITES or verb == "write_late":
            await self._write(verb, n)
        elif verb in {"lose", "leave", "drain"}:
            await self._end_worker(verb, n)
        elif verb in {"cancel_ask", "revive"}:
            await self._operate(verb, n)
        elif verb == "pass_time":
            await self.engine.pass_time(seconds=(1, 2, 5, 20)[n % 4] if n < 950 else 2 * 24 * 3600)
        elif verb == "sweep":
            await self.engine.sweep()
        else:
            await getattr(self.engine.store.types, verb)(TYPES[n % len(TYPES)])

    async def _submit(self, verb: str, n: int) -> None:
        fields = {
            "submit": {"tags": ("red", "blue")[: n % 3], "priority": n % 5 - 2, "max_attempts": n % 3 + 1},
            "submit_later": {"delay": timedelta(seconds=n % 20), "expires_in": timedelta(seconds=n % 40)},
            "submit_expiring": {"expires_in": timedelta(seconds=n % 30), "idempotency": Idempotency("", str(n), "d")},
            "submit_again": {},
        }[verb]
        known = self.ids[n % len(self.ids)] if verb == "submit_again" and self.ids else new_job_id()
        await self.engine.submit(known, job_type=TYPES[n % len(TYPES)], **fields)
        if known not in self.ids:
            self.ids.append(known)

    async def _claim(self, verb: str, n: int) -> None:
        if not self.active or n % 7 == 0:
            self.active.append(await self.engine.worker())
            self.workers.append(self.active[-1])
        # Now and then one that has left or is lost tries too.
        worker = (self.workers if n % 5 == 0 else self.active)[n % len(self.active)]
        self.engine.claims += verb == "claim"
        rooms = dict.fromkeys(TYPES, n % 3 + 1)
        claim = await self.engine.store.jobs.claim(worker, self.engine.claims, rooms, n % 4 + 1)
        assert claim.word in ClaimWord
        known = {(holder, job.token) for holder, job in self.claims}
        self.claims += [(worker, job) for job in claim.jobs if (worker, job.token) not in known]

    async def _write(self, verb: str, n: int) -> None:
        held = self.late if verb == "write_late" else self.claims
        if not held:
            return
        at = n % len(held)
        worker, job = held[at]
        await self.engine.write(
            WRITES[n % len(WRITES)] if verb == "write_late" else verb, worker, job.job_id, job.token
        )
        if verb not in {"start", "report", "save", "write_late"}:
            self.late.append(self.claims.pop(at))

    async def _end_worker(self, verb: str, n: int) -> None:
        if not self.active:
            return
        worker = self.active.pop(n % len(self.active))
        if verb == "drain":
            await self.engine.store.workers.drain(worker)
        elif verb == "leave":
            await self.engine.store.workers.leave(worker, "stopped")
        else:
            await self.engine.lose(worker)

    async def _operate(self, verb: str, n: int) -> None:
        if not self.ids:
            return
        job_id = self.ids[n % len(self.ids)]
        if verb == "revive":
            await self.engine.store.jobs.revive([job_id])
        else:
            await self.engine.ask_cancel(job_id)
