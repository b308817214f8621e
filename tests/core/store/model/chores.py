"""The janitor in the model: its turn, and its four duties."""

from __future__ import annotations

from emp_core.jobs import FINAL_STATES, WAITING_STATES, JobState
from emp_core.store import Duties

from .world import EXPIRED, LEASE, ModelJob, World

SILENT = "no sign of life for a lease"


class Chores(World):
    """The verbs of the janitor."""

    def sweep(self) -> Duties:
        """Take a turn, if there was none just now; give which duties are due."""
        last = self.swept_at
        if last is not None and 0 <= self.now - last < 900:
            return Duties(promote=False, expire=False, recover=False, retain=False)
        if last is None or not 0 <= self.now - last <= 3000:
            self.hold_until = self.now + LEASE
        self.swept_at = self.now
        for worker in self.workers.values():
            worker.lease = min(worker.lease, self.now + LEASE)
        return Duties(
            promote=bool(self._due()),
            expire=bool(self._late()),
            recover=any(worker.lease <= self.now for worker in self.workers.values()),
            retain=bool(self._over()),
        )

    def _due(self) -> list[ModelJob]:
        waiting = [job for job in self.jobs.values() if job.state is JobState.SCHEDULED]
        return [job for job in waiting if job.run_at is not None and job.run_at <= self.now]

    def _late(self) -> list[ModelJob]:
        waiting = [job for job in self.jobs.values() if job.state in WAITING_STATES]
        return [job for job in waiting if job.expires_at is not None and job.expires_at <= self.now]

    def _over(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in FINAL_STATES and job.deleted_at <= self.now]

    def promote(self) -> None:
        """Make due jobs pending."""
        for job in self._due():
            self.enter_line(job)

    def expire(self) -> None:
        """Fail jobs that waited too long."""
        for job in self._late():
            self.finish(job, JobState.FAILED, "expire", "expired", EXPIRED)

    def recover(self) -> None:
        """Take the jobs of lost workers."""
        late = sorted((known.lease, worker) for worker, known in self.workers.items() if known.lease <= self.now)
        for _, worker in late:
            known = self.workers[worker]
            if known.lost is None and self.now < self.hold_until:
                continue
            known.lost = known.lost or SILENT
            for job in self.held(worker):
                self._recover(job, known.lost)
            self.forget_worker(worker, "lost", known.lost)

    def _recover(self, job: ModelJob, why: str) -> None:
        error = f'{{"message":"its worker was lost: {why}"}}'.encode()
        self.totals[f"lost:{job.job_type}"] += 1
        if self.honour_cancel(job, "recover"):
            return
        is_begun = job.state is JobState.IN_PROGRESS
        is_innocent = not is_begun and (job.losses > 0 or job.is_suspect)
        if is_begun and not job.in_child:
            self.charge_loss(job)
            if job.losses >= 3:
                self.finish(job, JobState.FAILED, "recover", "poisoned", error)
                return
        if job.fails_with_worker or (job.attempt >= job.max_attempts and not is_innocent):
            self.finish(job, JobState.FAILED, "recover", "worker_lost", error)
            return
        self.keep_attempt(job, "released" if is_innocent else "lost", "worker_lost", error)
        self.forget_attempt(job)
        if is_innocent:
            job.attempt -= 1
            job.releases += 1
        elif not is_begun:
            job.is_suspect = True
        job.settled = "recover"
        self.enter_line(job)

    def retain(self) -> None:
        """Delete final jobs whose retention is over."""
        for job in self._over():
            del self.jobs[job.job_id]
