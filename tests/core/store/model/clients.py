"""What clients ask of the model: submit, cancel, revive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emp_core.ids import JobId
from emp_core.jobs import FINAL_STATES, WAITING_STATES, JobState
from emp_core.store import CancelWord, ReviveWord, SubmitWord

from .world import ModelJob, Wish, World

WAITING_LIMIT = 6
"""Jobs that may wait per type: few, so that a line is full now and then."""


class Clients(World):
    """The verbs of clients and operators that are about jobs."""

    def submit(self, wishes: Sequence[Wish]) -> list[tuple[SubmitWord, JobId]]:
        """Store new jobs."""
        first, self.seq = self.seq + 1, self.seq + len(wishes)
        return [self._submit(wish, seq) for seq, wish in enumerate(wishes, start=first)]

    def _submit(self, wish: Wish, seq: int) -> tuple[SubmitWord, JobId]:
        if wish.idem_key in self.idempotency:
            known, digest = self.idempotency[wish.idem_key]
            return (SubmitWord.REPEAT if digest == wish.idem_digest else SubmitWord.KEY_REUSED), known
        stored = self.jobs.get(wish.job_id)
        if stored:
            same = (stored.job_type, stored.payload) == (wish.job_type, wish.payload)
            return (SubmitWord.OK if same else SubmitWord.EXISTS), wish.job_id
        line = [job for job in self.jobs.values() if job.job_type == wish.job_type and job.state in WAITING_STATES]
        if len(line) >= WAITING_LIMIT:
            return SubmitWord.FULL, wish.job_id
        job = ModelJob(
            *(wish.job_id, wish.job_type, wish.payload, wish.priority, wish.max_attempts, wish.tags, wish.retention),
            seq=seq,
            created_at=self.now,
            fails_with_worker=wish.fails_with_worker,
        )
        if wish.fails_with_worker:
            self.format = 2
        self.jobs[job.job_id] = job
        due = wish.run_at if wish.run_at is not None else self.now + (wish.delay or 0)
        if wish.expires_in is not None:
            job.expires_at = max(due, self.now) + wish.expires_in
        elif wish.expires_at is not None:
            job.expires_at = wish.expires_at
        if due > self.now:
            self.wait_until(job, due)
        else:
            self.enter_line(job)
        if wish.idem_key is not None:
            self.idempotency[wish.idem_key] = (job.job_id, wish.idem_digest)
        self.totals[f"submitted:{job.job_type}"] += 1
        self.tally(job, "submitted")
        return SubmitWord.OK, job.job_id

    def cancel(self, job_ids: Iterable[JobId]) -> list[CancelWord]:
        """Call jobs off, or ask their workers."""
        return [self._cancel(job_id) for job_id in job_ids]

    def _cancel(self, job_id: JobId) -> CancelWord:
        job = self.jobs.get(job_id)
        if job is None:
            return CancelWord.NOT_FOUND
        if job.state in FINAL_STATES:
            return CancelWord.FINAL
        if job.state in WAITING_STATES:
            job.cancel_at = self.now
            self.finish(job, JobState.CANCELLED, "cancel")
            return CancelWord.CANCELLED
        assert job.worker is not None
        if job.cancel_at is None:
            job.cancel_at = self.now
            self.say(job)
        self.bells.add(job.worker)
        return CancelWord.ASKED

    def revive(self, job_ids: Iterable[JobId]) -> list[ReviveWord]:
        """Let failed or cancelled jobs run again."""
        return [self._revive(job_id) for job_id in job_ids]

    def _revive(self, job_id: JobId) -> ReviveWord:
        job = self.jobs.get(job_id)
        if job is None:
            return ReviveWord.NOT_FOUND
        if job.state not in {JobState.FAILED, JobState.CANCELLED}:
            return ReviveWord.CONFLICT
        if job.worker is not None:
            outcome = "lost" if job.reason in {"worker_lost", "poisoned"} else str(job.state)
            self.keep_attempt(job, outcome, job.reason or "", job.error)
        self.forget_attempt(job)
        job.finished_at = job.reason = job.settled = job.expires_at = job.run_at = job.cancel_at = job.error = None
        job.losses = job.refusals = job.releases = job.attempt = 0
        job.is_suspect = False
        job.round += 1
        self.totals[f"revived:{job.job_type}"] += 1
        self.enter_line(job)
        return ReviveWord.OK
