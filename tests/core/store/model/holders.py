"""What workers do with jobs in the model: claim, start, report, save, and every outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import JobState
from emp_core.store import ClaimWord, Pool, Reply

from .world import EXPIRED, ModelJob, World


class Holders(World):
    """The verbs of whoever holds jobs, or wants to."""

    def claim(
        self, worker: WorkerId, number: int, rooms: Mapping[str, int], total: int, pools: Mapping[str, Pool]
    ) -> tuple[ClaimWord, list[ModelJob]]:
        """Give a worker the most urgent jobs; a new claim's token is known by its serial only."""
        holder = self.workers.get(worker)
        if holder is None or holder.lost is not None:
            return ClaimWord.LOST, []
        if number < holder.claim:
            return ClaimWord.OLD, []
        if number == holder.claim:
            again = [self.jobs[job_id] for job_id in holder.claim_ids or () if job_id in self.jobs]
            return ClaimWord.OK, [job for job in again if job.state is JobState.CLAIMED and job.worker == worker]
        if holder.draining:
            return ClaimWord.DRAINING, []
        if holder.lease < self.now:
            return ClaimWord.LATE, []
        taken = self._take(worker, dict(rooms), total, pools)
        holder.claim, holder.claim_ids = number, tuple(job.job_id for job in taken)
        for job_type in rooms:
            if taken and self.waiting(job_type):
                self.ring_bell(job_type)
        return ClaimWord.OK, taken

    def _take(self, worker: WorkerId, rooms: dict[str, int], total: int, pools: Mapping[str, Pool]) -> list[ModelJob]:
        left = {pool.name: pool.room for pool in pools.values()}
        line = [job for job_type in rooms if job_type not in self.paused for job in self.waiting(job_type)]
        taken: list[ModelJob] = []
        for job in sorted(line, key=lambda job: job.urgency):
            pool = pools.get(job.job_type)
            if len(taken) == total:
                break
            if rooms[job.job_type] == 0 or (pool and left[pool.name] == 0):
                continue
            if job.expires_at is not None and job.expires_at <= self.now:
                self.finish(job, JobState.FAILED, "expire", "expired", EXPIRED)
                continue
            rooms[job.job_type] -= 1
            if pool:
                left[pool.name] -= 1
            job.state, job.worker, job.claimed_at, job.expires_at = JobState.CLAIMED, worker, self.now, None
            job.serial += 1
            job.attempt += 1
            self.tally_duration(job, "wait", max(job.created_at, job.run_at or 0))
            self.say(job)
            taken.append(job)
        return taken

    def start(self, worker: WorkerId, job_id: JobId, token: str, in_child: bool = False) -> Reply:
        """Say that the handler is about to be called, and where."""
        job, word = self.holding(worker, job_id, token, "start")
        if job and job.state is JobState.CLAIMED:
            job.in_child = in_child
            self._begin(job)
        return word

    def _begin(self, job: ModelJob, ago: int = 0) -> None:
        job.state, job.started_at = JobState.IN_PROGRESS, self.now - ago
        self.say(job)

    def ending(
        self, worker: WorkerId, job_id: JobId, token: str, verb: str, begun: int | None
    ) -> tuple[ModelJob | None, Reply]:
        """Find the job whose attempt ends; if its handler was called and no start is stored, it passes through."""
        job, word = self.holding(worker, job_id, token, verb)
        if job and job.state is JobState.CLAIMED and begun is not None:
            self._begin(job, begun)
        return job, word

    def report(
        self,
        worker: WorkerId,
        job_id: JobId,
        token: str,
        fraction: float | None,
        message: str | None,
        log: Sequence[bytes],
        log_from: int,
    ) -> Reply:
        """Keep progress and log lines; lines that came before are passed over."""
        job, word = self.holding(worker, job_id, token, "report")
        if job is None:
            return word
        if fraction is not None or message is not None:
            job.fraction = fraction if fraction is not None else job.fraction or 0.0
            job.message = message if message is not None else job.message or ""
            self.say(job)
        if log:
            have = job.logged[1] if job.logged and job.logged[0] == token else 0
            job.log += log[max(0, have - log_from) :]
            job.logged = (token, max(log_from + len(log), have))
        return word

    def save(self, worker: WorkerId, job_id: JobId, token: str, handle: bytes) -> Reply:
        """Keep a handle, or with an empty one keep none."""
        job, word = self.holding(worker, job_id, token, "save")
        if job:
            job.handle = handle
        return word

    def complete(self, worker: WorkerId, job_id: JobId, token: str, begun: int | None, result: bytes) -> Reply:
        """End a job with its result; it has begun, whether that is stored or not."""
        job, word = self.ending(worker, job_id, token, "complete", begun or 0)
        if job:
            self.finish(job, JobState.COMPLETED, "complete")
            job.result = result
        return word

    def fail(
        self, worker: WorkerId, job_id: JobId, token: str, begun: int | None, error: bytes, is_loss: bool = False
    ) -> Reply:
        """End a job without a result."""
        job, word = self.ending(worker, job_id, token, "fail", begun)
        if job and not self.honour_cancel(job, "fail"):
            if is_loss:
                self.charge_loss(job)
            self.finish(job, JobState.FAILED, "fail", "error", error)
        return word

    def retry(
        self,
        worker: WorkerId,
        job_id: JobId,
        token: str,
        begun: int | None,
        error: bytes,
        delay: int,
        is_loss: bool = False,
    ) -> Reply:
        """End an attempt, with another to follow."""
        job, word = self.ending(worker, job_id, token, "retry", begun)
        if job and not self.honour_cancel(job, "retry"):
            if is_loss:
                self.charge_loss(job)
            self.keep_attempt(job, "retry", "error", error)
            self.forget_attempt(job)
            job.settled = "retry"
            self.totals[f"retried:{job.job_type}"] += 1
            self.wait_until(job, self.now + delay)
        return word

    def release(self, worker: WorkerId, job_id: JobId, token: str, begun: int | None, delay: int | None) -> Reply:
        """Give a job back, its attempt uncharged."""
        job, word = self.ending(worker, job_id, token, "release", begun)
        if job and not self.honour_cancel(job, "release"):
            self.keep_attempt(job, "released", "", None)
            self.forget_attempt(job)
            job.settled = "release"
            job.attempt -= 1
            if delay is None:
                job.releases += 1
                self.enter_line(job)
            else:
                job.refusals += 1
                self.wait_until(job, self.now + delay)
        return word

    def confirm(self, worker: WorkerId, job_id: JobId, token: str, begun: int | None) -> Reply:
        """End a job that its worker was asked to cancel."""
        asked = self.jobs.get(job_id)
        if asked is not None and asked.cancel_at is None:
            begun = None
        job, word = self.ending(worker, job_id, token, "cancel", begun)
        if job is None:
            return word
        return Reply.OK if self.honour_cancel(job, "cancel") else Reply.LEASE_LOST
