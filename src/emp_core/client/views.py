"""What the server's answers become: frozen values, one per resource. Fields that a newer server adds are left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from emp_core.jobs import FINAL_STATES, JobState


class _View(BaseModel):
    """What every view has: it cannot be changed, and it ignores what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(_View):
    """How far a job is: `fraction` from 0.0 to 1.0, `message` what its handler said last."""

    fraction: float = 0.0
    message: str = ""


class AttemptView(_View):
    """One ended attempt of a job."""

    number: int
    worker_id: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    reason: str | None = None
    error: Any = None
    plugin_version: str = ""


class JobView(_View):
    """A job as the server shows it. Times are UTC; what does not apply to the job's state is None.

    `result` is what the handler returned, `error` an object with at least `message`, `position` the number of jobs that
    are claimed before this one (0: it is next), `warnings` what the submitter should know (`no_worker`).
    """

    id: str
    job_type: str
    state: JobState
    priority: int = 0
    attempt: int = 0
    max_attempts: int = 1
    progress: Progress = Progress()
    reason: str | None = None
    error: Any = None
    result: Any = None
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    worker_id: str | None = None
    position: int | None = None
    tags: tuple[str, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    cancel_request: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    urls: Mapping[str, str] = Field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Tell whether the job has ended: completed, failed or cancelled."""
        return self.state in FINAL_STATES


class JobUpdate(_View):
    """One change of a watched job: the state that it is in now, and how far it is."""

    job_id: str
    state: JobState
    progress: Progress = Progress()

    @property
    def final(self) -> bool:
        """Tell whether the job has ended; no update follows."""
        return self.state in FINAL_STATES


class LogLine(_View):
    """One line that a handler logged, and in which attempt."""

    at: datetime
    level: str = "info"
    message: str = ""
    attempt: int = 1


class JobTypeView(_View):
    """What can be submitted: a job type, its schemas (JSON Schema, draft 2020-12) and who serves it now."""

    job_type: str
    title: str = ""
    description: str = ""
    distribution: str = ""
    version: str = ""
    paused: bool = False
    workers_online: int = 0
    payload_schema: Mapping[str, Any] | None = None
    result_schema: Mapping[str, Any] | None = None
    examples: tuple[Any, ...] = ()
    options: Mapping[str, Any] = Field(default_factory=dict)


class TroubleView(_View):
    """A running job that misbehaves: `what` is blocks_loop or ignores_end, `seconds` for how long."""

    job_id: str
    job_type: str = ""
    what: str = ""
    seconds: float = 0.0


class WorkerView(_View):
    """A worker: where it runs, how many slots it has and how many of them are taken."""

    id: str
    name: str = ""
    status: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 0
    held: int = 0
    loop_lag: float = 0.0
    troubles: tuple[TroubleView, ...] = ()
    started_at: datetime | None = None
    renewed_at: datetime | None = None
    lease_until: datetime | None = None
    types: Mapping[str, str] = Field(default_factory=dict)
    plugins: tuple[Mapping[str, Any], ...] = ()
    current: tuple[str, ...] = ()
    reason: str = ""


class MinuteView(_View):
    """One minute: how many jobs of each type were submitted, completed and failed."""

    minute: datetime
    submitted: Mapping[str, int] = Field(default_factory=dict)
    completed: Mapping[str, int] = Field(default_factory=dict)
    failed: Mapping[str, int] = Field(default_factory=dict)


class WhoView(_View):
    """Whose API key the client sends: `key_id` is None where the server asks for none."""

    key_id: str | None = None
    name: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


class StatsView(_View):
    """Counts by job type: jobs in each live state and totals that only grow; the last hour; the oldest pending jobs."""

    counts: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    minutes: tuple[MinuteView, ...] = ()
    oldest_pending: Mapping[str, datetime] = Field(default_factory=dict)
