"""What the server answers, as data: one struct per resource, from which both the JSON and its schema are made.

Results and errors are the bytes that a worker stored; `msgspec.Raw` writes them into the answer as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from emp_core.jobs import JobState, Trouble

Time = Annotated[datetime, Meta(tz=True)]
"""A time with its offset: RFC 3339."""


class ProgressAnswer(msgspec.Struct, frozen=True):
    """How far a running job is."""

    fraction: Annotated[float, Meta(ge=0.0, le=1.0, description="how much is done")]
    message: Annotated[str, Meta(description="what the handler said last")]


class AttemptAnswer(msgspec.Struct, frozen=True):
    """One ended attempt."""

    number: int
    worker_id: str
    claimed_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    outcome: Annotated[str, Meta(description="completed, failed, retry, released, cancelled or lost")]
    reason: str | None
    error: Annotated[Raw | None, Meta(description="an object with at least `message`")]
    plugin_version: Annotated[str, Meta(description="the version of the plugin that made it")]


class CancelAnswer(msgspec.Struct, frozen=True):
    """The wish to call a job off."""

    by: str
    at: Time
    why: str


class UrlsAnswer(msgspec.Struct, frozen=True, rename={"itself": "self"}):
    """Where to go on with a job."""

    itself: str
    result: str
    events: str
    log: str
    cancel: str


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Times are RFC 3339 in UTC. Members below `urls` are left out where the job is one of a list."""

    id: str
    job_type: str
    state: JobState
    priority: int
    attempt: Annotated[int, Meta(description="the number of the last attempt of this round; 0 before the first")]
    max_attempts: int
    progress: ProgressAnswer
    reason: Annotated[str | None, Meta(description="why it failed")]
    created_at: Time
    scheduled_at: Annotated[Time | None, Meta(description="when it is due, or was")]
    claimed_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    expires_at: Annotated[Time | None, Meta(description="it fails if nobody has claimed it by then")]
    worker_id: str | None
    tags: Sequence[str]
    cancel_request: CancelAnswer | None
    urls: UrlsAnswer
    position: Annotated[
        int | UnsetType | None, Meta(description="how many jobs of its type are claimed before it, while it waits")
    ] = UNSET
    result: Annotated[Raw | UnsetType | None, Meta(description="what the handler returned")] = UNSET
    error: Annotated[Raw | UnsetType | None, Meta(description="why it failed: at least `message`")] = UNSET
    attempts: Sequence[AttemptAnswer] | UnsetType = UNSET
    warnings: Annotated[
        Sequence[str] | UnsetType,
        Meta(description="only where there are some: `no_worker`, nobody serves the type now"),
    ] = UNSET


class BatchItemAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job of a batch that was stored; an item that was not is a problem document instead."""

    id: str
    job_type: str
    state: str
    warnings: Sequence[str] = ()


class JobPageAnswer(msgspec.Struct, frozen=True):
    """Some jobs; the `Link` header with rel=next, and `next_cursor`, lead to more."""

    jobs: Sequence[JobAnswer]
    next_cursor: str | None


class JobTypeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A job type: its newest version, and who serves it. Schemas are left out where it is one of a list."""

    job_type: str
    title: str
    description: str
    distribution: Annotated[str, Meta(description="the plugin's package")]
    version: str
    digest: Annotated[str, Meta(description="names this version's schemas")]
    paused: bool
    workers_online: int
    options: Annotated[Mapping[str, Any], Meta(description="what a submission takes from the type; times in seconds")]
    versions: Annotated[Sequence[str], Meta(description="all announced versions, newest first")]
    urls: Mapping[str, str]
    # A list that says nothing of its items is no list to some generators of clients.
    examples: Annotated[Sequence[Any], Meta(extra_json_schema={"items": {}})] | UnsetType = UNSET
    payload_schema: Mapping[str, Any] | UnsetType | None = UNSET
    result_schema: Mapping[str, Any] | UnsetType | None = UNSET


class JobTypesAnswer(msgspec.Struct, frozen=True):
    """Every job type."""

    job_types: Sequence[JobTypeAnswer]


class WorkerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A worker. `types` maps each job type it serves to the digest of its version, `current` holds ids of its jobs."""

    id: str
    name: str
    status: Annotated[str, Meta(description="idle, busy, draining, lost or left")]
    host: str
    pid: int
    version: str
    slots: int
    held: Annotated[int, Meta(description="jobs that it holds now")]
    loop_lag: Annotated[float, Meta(description="how late its event loop has been lately, in seconds")]
    troubles: Annotated[
        Sequence[Trouble], Meta(description="running jobs that block the event loop, or go on although told to end")
    ]
    started_at: Time
    renewed_at: Time
    lease_until: Time
    types: Mapping[str, str]
    plugins: Sequence[Mapping[str, Any]]
    current: Sequence[str]
    reason: Annotated[str, Meta(description="why it has gone")]


class WorkersAnswer(msgspec.Struct, frozen=True):
    """The workers that have a lease, and those that left or were lost lately."""

    workers: Sequence[WorkerAnswer]
    gone: Sequence[WorkerAnswer]


class MinuteAnswer(msgspec.Struct, frozen=True):
    """One minute: how many jobs of each type were submitted, completed and failed."""

    minute: Time
    submitted: Mapping[str, int]
    completed: Mapping[str, int]
    failed: Mapping[str, int]


class StatsAnswer(msgspec.Struct, frozen=True):
    """Counts by job type: live states, and totals that only grow; the last hour; the oldest pending jobs."""

    counts: Mapping[str, Mapping[str, int]]
    minutes: Sequence[MinuteAnswer]
    oldest_pending: Mapping[str, Time]


class DurabilityAnswer(msgspec.Struct, frozen=True):
    """What the store keeps of what it has answered."""

    level: Annotated[str, Meta(description="memory, process, disk, replica or unknown")]
    why: Annotated[str, Meta(description="the store's configuration that it follows from")]
    replicas: Annotated[int, Meta(description="how many replicas follow the store now")]


class HealthAnswer(msgspec.Struct, frozen=True):
    """The server's health."""

    status: str
    epoch: Annotated[str | UnsetType, Meta(description="names the birth of the store")] = UNSET
    emptied: Annotated[int | UnsetType, Meta(description="how often the store came back empty under this server")] = (
        UNSET
    )
    durability: DurabilityAnswer | UnsetType = UNSET
    set_aside: Annotated[
        int | UnsetType, Meta(description="job records that could not be read and wait for `emp doctor`")
    ] = UNSET


class WhoamiAnswer(msgspec.Struct, frozen=True):
    """Whose key a request shows."""

    key_id: Annotated[str | None, Meta(description="null where no key is asked for")]
    name: str
    scopes: Annotated[Sequence[str], Meta(description="all that the key may do, what its scopes imply included")]
    expires_at: Time | None


class FaultAnswer(msgspec.Struct, frozen=True):
    """One thing wrong, and where: a JSON pointer (RFC 6901) into the body, or for `invalid-payload` the payload."""

    pointer: str
    message: str


class ProblemAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem (RFC 9457). `type` ends in the name of an error; which members come with which, the reference says."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: Sequence[FaultAnswer] = ()
    near: Annotated[Sequence[str], Meta(description="names of job types like the one that was asked for")] = ()
    state: Annotated[str, Meta(description="the job's state")] = ""
    limit: Annotated[int, Meta(description="the limit, in bytes or items, or jobs a second")] = 0
    scope: Annotated[str, Meta(description="the scope that the API key lacks")] = ""
    outcome: Annotated[
        str,
        Meta(description="of a store in trouble, or an overload: `unknown`, or `not_done` if surely so"),
    ] = ""
