"""Workers and job types in the model: leases, bells, pauses, announcements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emp_core.ids import JobId, WorkerId
from emp_core.store import LeaseWord, LeaveWord

from .world import DAY, LEASE, ModelWorker, World

KEEP_TYPES_FOR = 30 * DAY


class Leases(World):
    """The verbs about workers and about types."""

    def register(self, worker: WorkerId) -> LeaseWord:
        """Give a worker its lease."""
        self.has_epoch = True
        known = self.workers.get(worker)
        if known is None:
            self.workers[worker] = ModelWorker(self.now + LEASE, started_at=self.now, renewed_at=self.now)
        elif known.lost is not None:
            return LeaseWord.LOST
        else:
            known.lease, known.renewed_at = self.now + LEASE, self.now
        return LeaseWord.OK

    def renew(self, worker: WorkerId, *, draining: bool) -> tuple[LeaseWord, int, bool, frozenset[JobId]]:
        """Keep a worker's lease; give what it holds, whether it shall drain, and what it is asked to cancel."""
        known = self.workers.get(worker)
        if known is None or known.lost is not None:
            return LeaseWord.LOST, 0, False, frozenset()
        known.lease, known.renewed_at, known.renewed = self.now + LEASE, self.now, True
        known.draining = known.draining or draining
        held = self.held(worker)
        asked = frozenset(job.job_id for job in held if job.cancel_at is not None)
        return LeaseWord.OK, len(held), known.draining, asked

    def leave(self, worker: WorkerId, reason: str) -> LeaveWord:
        """End a worker's lease; recover takes what it held."""
        known = self.workers.get(worker)
        if known is None:
            return LeaveWord.NOT_FOUND
        if self.held(worker):
            known.lost, known.lease = known.lost or reason, 0
            return LeaveWord.LOST
        self.forget_worker(worker, "left", reason)
        return LeaveWord.LEFT

    def hear(self, worker: WorkerId, job_types: Sequence[str]) -> tuple[bool, str | None]:
        """Take the next ring: whether there was one, and of which type (None: the worker's own bell)."""
        if worker in self.bells:
            self.bells.remove(worker)
            return True, None
        rung = next((name for name in job_types if name in self.rings), None)
        self.rings.discard(rung or "")
        return rung is not None, rung

    def ring(self, job_type: str) -> None:
        """Wake another worker, if there is anything to wake it for."""
        if self.waiting(job_type):
            self.ring_bell(job_type)

    def drain(self, worker: WorkerId) -> bool:
        """Ask a worker to finish and leave."""
        known = self.workers.get(worker)
        if known is None or known.lost is not None:
            return False
        known.draining = True
        self.bells.add(worker)
        return True

    def pause(self, job_type: str) -> None:
        """Let no job of a type be claimed."""
        self.paused.add(job_type)
        self.rings.discard(job_type)

    def resume(self, job_type: str) -> None:
        """Let the jobs of a type be claimed again."""
        self.paused.discard(job_type)
        self.ring(job_type)

    def announce(self, fields: Iterable[str]) -> None:
        """Make types known, and forget those not announced for a long time."""
        self.types = {name: at for name, at in self.types.items() if self.now - at <= KEEP_TYPES_FOR}
        self.types |= dict.fromkeys(fields, self.now)
