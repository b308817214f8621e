"""What the verbs answer: words, and the values around them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from emp_core.ids import JobId
from emp_core.jobs import ClaimedJob, JobState


class SubmitWord(StrEnum):
    """What became of a submission."""

    OK = "OK"
    REPEAT = "REPEAT"
    EXISTS = "EXISTS"
    KEY_REUSED = "KEY_REUSED"
    FULL = "FULL"


class Submitted(Struct, frozen=True):
    """The answer to a submission; with REPEAT it is about the first job. A job that is gone has no state and time."""

    word: SubmitWord
    job_id: JobId
    state: JobState | None
    created_at: datetime | None


class CancelWord(StrEnum):
    """What became of a wish to cancel: done, asked of its worker, too late, or no such job."""

    CANCELLED = "CANCELLED"
    ASKED = "ASKED"
    FINAL = "FINAL"
    NOT_FOUND = "NOT_FOUND"


class ReviveWord(StrEnum):
    """What became of a wish to revive."""

    OK = "OK"
    CONFLICT = "CONFLICT"
    NOT_FOUND = "NOT_FOUND"


class Reply(StrEnum):
    """The answer to a holder's write: done, or refused because the claim is no longer its own, or no such job."""

    OK = "OK"
    LEASE_LOST = "LEASE_LOST"
    NOT_FOUND = "NOT_FOUND"


class ClaimWord(StrEnum):
    """Whether a claim was served; all but OK took nothing."""

    OK = "OK"
    LOST = "LOST"
    LATE = "LATE"
    DRAINING = "DRAINING"
    OLD = "OLD"


@dataclass(frozen=True, slots=True)
class CancelAsk:
    """A wish to call a job off: who, and why."""

    job_id: JobId
    by: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Slots that several job types share: its name, and how many of them are free."""

    name: str
    room: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: the jobs, when the next scheduled job is due, and whether claimable jobs stayed behind."""

    word: ClaimWord
    jobs: tuple[ClaimedJob, ...]
    next_due: timedelta | None
    more: bool


@dataclass(frozen=True, slots=True)
class Duties:
    """What a sweep found due. Nothing is, when it was another process's turn.

    `set_aside` is how many records were ever set aside because they could not be read, `repaired` how many damaged keys
    of the bookkeeping were repaired.
    """

    promote: bool
    expire: bool
    recover: bool
    retain: bool
    set_aside: int = 0
    repaired: int = 0
