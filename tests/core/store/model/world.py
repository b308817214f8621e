"""What the model of the store knows, and the moves that several of its verbs make. Pure: no Redis, no clock.

It keeps only what follows from nothing else: jobs, workers, rings and totals. Which index holds which job, and how many
there are of a kind, is derived from them (picture.py). Times are Unix milliseconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import RUNNING_STATES, JobState
from emp_core.store import Reply

DAY = 86_400_000
LEASE = 15_000
RETENTION = {JobState.COMPLETED: DAY, JobState.FAILED: 7 * DAY, JobState.CANCELLED: 7 * DAY}

EXPIRED = b'{"message":"no worker claimed it before it expired"}'


@dataclass
class ModelJob:
    """A job; what is None or zero is not written into its record."""

    job_id: JobId
    job_type: str
    payload: bytes
    priority: int
    max_attempts: int
    tags: tuple[str, ...]
    retention: int | None
    seq: int
    created_at: int
    state: JobState = JobState.PENDING
    run_at: int | None = None
    expires_at: int | None = None
    attempt: int = 0
    round: int = 1
    losses: int = 0
    is_suspect: bool = False
    in_child: bool = False
    fails_with_worker: bool = False
    releases: int = 0
    refusals: int = 0
    handle: bytes = b""
    serial: int = 0
    token: str = ""
    worker: WorkerId | None = None
    claimed_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    fraction: float | None = None
    message: str | None = None
    reason: str | None = None
    settled: str | None = None
    cancel_at: int | None = None
    logged: tuple[str, int] | None = None
    log: list[bytes] = field(default_factory=list)
    attempts: list[dict[str, object]] = field(default_factory=list)
    result: bytes | None = None
    error: bytes | None = None

    @property
    def urgency(self) -> tuple[int, int]:
        """The order in which waiting jobs are claimed."""
        return (-self.priority, self.seq)

    @property
    def is_running(self) -> bool:
        """Tell whether a worker holds it."""
        return self.state in RUNNING_STATES

    @property
    def deleted_at(self) -> int:
        """When a final job's retention is over."""
        assert self.finished_at is not None
        return self.finished_at + (self.retention if self.retention is not None else RETENTION[self.state])


@dataclass
class ModelWorker:
    """A worker that has a lease, or is lost and not yet forgotten."""

    lease: int
    started_at: int
    renewed_at: int
    lost: str | None = None
    draining: bool = False
    renewed: bool = False
    claim: int = 0
    claim_ids: tuple[JobId, ...] | None = None


@dataclass(frozen=True)
class Wish:
    """A submission, with times in milliseconds."""

    job_id: JobId
    job_type: str
    payload: bytes = b"{}"
    priority: int = 0
    run_at: int | None = None
    delay: int | None = None
    expires_in: int | None = None
    expires_at: int | None = None
    max_attempts: int = 3
    fails_with_worker: bool = False
    retention: int | None = None
    tags: tuple[str, ...] = ()
    idem_key: str | None = None
    idem_digest: str = ""


@dataclass
class World:
    """Everything that the store must know."""

    now: int
    jobs: dict[JobId, ModelJob] = field(default_factory=dict)
    workers: dict[WorkerId, ModelWorker] = field(default_factory=dict)
    gone: list[tuple[WorkerId, str, str]] = field(default_factory=list)
    idempotency: dict[str, tuple[JobId, str]] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    rings: set[str] = field(default_factory=set)
    bells: set[WorkerId] = field(default_factory=set)
    types: dict[str, int] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    minutes: Counter[tuple[int, str]] = field(default_factory=Counter)
    for_ever: Counter[str] = field(default_factory=Counter)
    updates: list[tuple[JobId, str]] = field(default_factory=list)
    seq: int = 0
    swept_at: int | None = None
    hold_until: int = 0
    has_epoch: bool = False
    format: int = 1

    def waiting(self, job_type: str) -> list[ModelJob]:
        """Give the pending jobs of a type, the most urgent first."""
        line = [job for job in self.jobs.values() if job.state is JobState.PENDING and job.job_type == job_type]
        return sorted(line, key=lambda job: job.urgency)

    def held(self, worker: WorkerId) -> list[ModelJob]:
        """Give the jobs that a worker holds."""
        return [job for job in self.jobs.values() if job.is_running and job.worker == worker]

    def ring_bell(self, job_type: str) -> None:
        """Ring the bell of a type, unless it is paused."""
        if job_type not in self.paused:
            self.rings.add(job_type)

    def tally(self, job: ModelJob, what: str) -> None:
        """Count what happened in this minute."""
        self.minutes[self.now // 60_000, f"{what}:{job.job_type}"] += 1

    def tally_duration(self, job: ModelJob, what: str, since: int) -> None:
        """Count a duration in its bucket: bucket b holds those below 2^b milliseconds."""
        took = max(0, self.now - since)
        self.tally(job, f"{what}:{min(32, took.bit_length())}")
        self.for_ever[f"{what}:{min(32, took.bit_length())}:{job.job_type}"] += 1
        self.for_ever[f"{what}:sum:{job.job_type}"] += took

    def say(self, job: ModelJob) -> None:
        """Tell observers where a job stands."""
        self.updates.append((job.job_id, job.state))

    def enter_line(self, job: ModelJob) -> None:
        """Make a job pending."""
        job.state = JobState.PENDING
        self.ring_bell(job.job_type)
        self.say(job)

    def wait_until(self, job: ModelJob, due: int) -> None:
        """Make a job scheduled."""
        job.state, job.run_at = JobState.SCHEDULED, due
        self.say(job)

    def keep_attempt(self, job: ModelJob, outcome: str, reason: str, error: bytes | None) -> None:
        """Keep the record of an attempt that ended."""
        job.attempts.append(
            {
                "attempt": job.attempt,
                "round": job.round,
                "worker_id": job.worker,
                "claimed_at": job.claimed_at,
                "started_at": job.started_at,
                "ended_at": job.finished_at or self.now,
                "outcome": outcome,
                "reason": reason,
                "error": error,
            }
        )

    def charge_loss(self, job: ModelJob) -> None:
        """Count the death of a process that ran the job, and one before that may have been its doing."""
        job.losses += 2 if job.is_suspect else 1
        job.is_suspect = False

    def forget_attempt(self, job: ModelJob) -> None:
        """Take off a job what belonged to its attempt."""
        job.worker = job.claimed_at = job.started_at = job.fraction = job.message = None
        job.in_child = False

    def finish(
        self, job: ModelJob, state: JobState, verb: str, reason: str | None = None, error: bytes | None = None
    ) -> None:
        """Give a job its final state."""
        job.state, job.finished_at, job.reason = state, self.now, reason
        if state is not JobState.COMPLETED:  # of a completed job both follow from its state
            job.settled = verb
        job.error = error
        self.totals[f"{state}:{job.job_type}"] += 1
        self.tally(job, state)
        if state is JobState.FAILED:
            self.for_ever[f"failed:{reason}:{job.job_type}"] += 1
        if job.started_at is not None:
            self.tally_duration(job, "run", job.started_at)
        self.say(job)

    def holding(self, worker: WorkerId, job_id: JobId, token: str, verb: str) -> tuple[ModelJob | None, Reply]:
        """Give the job if this worker holds it under this token, else the word to answer."""
        job = self.jobs.get(job_id)
        if job is None:
            return None, Reply.NOT_FOUND
        if job.token == token:
            if job.is_running and job.worker == worker:
                return job, Reply.OK
            settled = "complete" if job.state is JobState.COMPLETED else job.settled
            if settled == verb and not job.is_running:
                return None, Reply.OK
        self.totals[f"refused:{job.job_type}"] += 1
        return None, Reply.LEASE_LOST

    def honour_cancel(self, job: ModelJob, verb: str) -> bool:
        """End a job whose cancel was asked."""
        if job.cancel_at is not None:
            self.finish(job, JobState.CANCELLED, verb)
        return job.cancel_at is not None

    def forget_worker(self, worker: WorkerId, status: str, reason: str) -> None:
        """Delete all that is a worker's, and keep how it went."""
        del self.workers[worker]
        self.bells.discard(worker)
        self.gone.insert(0, (worker, status, reason))
