"""Read what the scripts wrote: a job's hash to a Job, an attempt's record to an Attempt, times and durations.

A record may be younger than this code or damaged: unknown fields are passed over, and a record that lacks what every
job has is read as no job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import (
    MAX_ATTEMPTS_DEFAULT,
    Attempt,
    Backoff,
    CancelRequest,
    ClaimedJob,
    Job,
    JobState,
    OnWorkerLost,
    Reason,
    Trouble,
)

BEGINS_WITH: Final = {"state": "pending", "priority": "0", "attempt": "0", "max_attempts": str(MAX_ATTEMPTS_DEFAULT)}
"""What a job begins with: such a field is not in its hash until it changes, so that a waiting job costs less memory."""


def milliseconds(duration: timedelta | None) -> str:
    """Write a duration for a script; nothing for None."""
    return "" if duration is None else str(duration // timedelta(milliseconds=1))


def unix_milliseconds(moment: datetime | None) -> str:
    """Write a time for a script; nothing for None."""
    # Rounded up: a job must not start before its time, not even by a part of a millisecond.
    return "" if moment is None else str(-((_EPOCH - moment) // timedelta(milliseconds=1)))


_EPOCH = datetime.fromtimestamp(0, tz=UTC)


def moment(text: bytes | str | int | float | None) -> datetime | None:
    """Read Unix milliseconds; None where there are none."""
    if text is None or text in {b"", ""}:
        return None
    return _EPOCH + timedelta(milliseconds=float(text))


def known_moment(text: bytes | str | float | None) -> datetime | None:
    """Read Unix milliseconds; None also where the text is damaged."""
    try:
        return moment(text)
    except (TypeError, ValueError, OverflowError):
        return None


def duration(text: str | bytes | None) -> timedelta | None:
    """Read a number of milliseconds; None where there is none, or none that can be."""
    try:
        return timedelta(milliseconds=float(text)) if text else None
    except (ValueError, OverflowError):
        return None


def seconds(text: str | bytes | None) -> float:
    """Read a number of seconds; 0 where there is none, or none that can be."""
    try:
        return timedelta(seconds=float(text or 0)).total_seconds()
    except (ValueError, OverflowError):
        return 0.0


def whole_number(text: Any) -> int | None:
    """Read a whole number of 64 bits; None where the text is damaged."""
    try:
        number = int(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -(2**63) <= number < 2**63 else None


_REPLACED: Final = "\ufffd"


def text_of(data: bytes) -> str:
    """Read a text; what is no UTF-8 in it is replaced, so that a damaged name is one that nothing has."""
    return data.decode(errors="replace")


def write_backoff(backoff: Backoff | None) -> str:
    """Write a backoff as four numbers: base and cap in milliseconds, factor and jitter as they are."""
    if backoff is None:
        return ""
    return f"{milliseconds(backoff.base)} {backoff.factor!r} {milliseconds(backoff.cap)} {backoff.jitter!r}"


def read_backoff(text: str | bytes) -> Backoff | None:
    """Read what `write_backoff` wrote; None where there is none or it is damaged."""
    if not text:
        return None
    try:
        base, factor, cap, jitter = (float(part) for part in text.split())
        return Backoff(timedelta(milliseconds=base), factor, timedelta(milliseconds=cap), jitter)
    except (ValueError, OverflowError):
        return None


_RETRY: Final = OnWorkerLost.RETRY
"""A name of its own: members of an enum are looked up slowly."""


def read_claimed(payload: bytes, facts: bytes) -> ClaimedJob:
    """Read one job of a claim's answer, in the order that claim.lua gives."""
    words = facts.decode("utf-8", "surrogateescape").split("\x1f", 15)
    # By position: msgspec looks for the field of each keyword.
    return ClaimedJob(
        JobId(words[0]),
        words[1],
        payload,
        words[2],  # token
        int(words[3]),  # attempt
        int(words[4]),  # max_attempts
        int(words[5]),  # priority
        int(words[6]),  # losses
        words[8],  # schema_digest
        int(words[9]),  # refusals
        duration(words[10]),  # timeout
        duration(words[11]),  # progress_timeout
        read_backoff(words[12]),
        words[15].encode("utf-8", "surrogateescape"),  # handle
        words[14],  # trace
        words[7] != "",  # is_suspect
        OnWorkerLost(words[13]) if words[13] else _RETRY,
    )


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read a hash as a script gives it: names and values after one another."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read_job(job_id: str, fields: Mapping[bytes, bytes]) -> Job | None:
    """Read a job's hash; None if there is no job in it."""
    if not fields:
        return None
    try:
        return _job(JobId(job_id), BEGINS_WITH | {text_of(name): text_of(value) for name, value in fields.items()})
    except (KeyError, ValueError, OverflowError):
        return None


def _job(job_id: JobId, fields: Mapping[str, str]) -> Job:
    created_at = moment(fields["created_at"])
    if created_at is None:
        raise ValueError("created_at")
    if _REPLACED in fields["type"]:
        raise ValueError("type")
    cancel_at = known_moment(fields.get("cancel_at"))
    reason = fields.get("reason")
    worker = fields.get("worker")
    return Job(
        job_id=job_id,
        job_type=fields["type"],
        state=JobState(fields["state"]),
        priority=_number(fields["priority"]),
        attempt=_number(fields["attempt"]),
        max_attempts=_number(fields["max_attempts"]),
        created_at=created_at,
        losses=_number(fields.get("losses", 0)),
        round=_number(fields.get("round", 1)),
        fraction=1.0 if fields["state"] == "completed" else _fraction(fields.get("progress")),
        message=fields.get("message", ""),
        reason=Reason(reason) if reason else None,
        worker_id=WorkerId(worker) if worker else None,
        scheduled_at=moment(fields.get("run_at")),
        claimed_at=moment(fields.get("claimed_at")),
        started_at=moment(fields.get("started_at")),
        finished_at=moment(fields.get("finished_at")),
        expires_at=moment(fields.get("expires_at")),
        tags=tuple(fields["tags"].split("\n")) if "tags" in fields else (),
        cancel_request=CancelRequest(by=fields.get("cancel_by", ""), at=cancel_at, why=fields.get("cancel_why", ""))
        if cancel_at
        else None,
        schema_digest=fields.get("digest", ""),
        plugin_version=fields.get("plugin", ""),
        owner=fields.get("owner", ""),
        version=_version(fields),
    )


def _number(text: str | int) -> int:
    number = whole_number(text)
    if number is None:
        raise ValueError(f"{text!r} is no whole number")
    return number


def _fraction(text: str | None) -> float:
    """Read a progress; 0 where it is damaged, since nothing depends on it."""
    try:
        fraction = float(text or 0.0)
    except ValueError:
        return 0.0
    return fraction if 0.0 <= fraction <= 1.0 else 0.0


def _version(fields: Mapping[str, str]) -> str:
    """Give a short digest of all fields: it changes whenever one of them does."""
    text = "\0".join(f"{name}\0{fields[name]}" for name in sorted(fields))
    return hashlib.blake2s(text.encode(), digest_size=10).hexdigest()


class _AttemptRecord(msgspec.Struct):
    attempt: int
    worker_id: str
    outcome: str
    plugin_version: str = ""
    reason: str = ""
    claimed_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    # No `| None`: msgspec takes that for null alone, and refuses the record of every attempt with an error.
    error: msgspec.Raw = msgspec.Raw(b"null")


_attempt_decoder = msgspec.json.Decoder(_AttemptRecord)


def read_attempt(record: bytes) -> Attempt | None:
    """Read the record of an ended attempt; None if it is damaged."""
    try:
        read = _attempt_decoder.decode(record)
        return Attempt(
            number=read.attempt,
            worker_id=WorkerId(read.worker_id),
            claimed_at=moment(read.claimed_at),
            started_at=moment(read.started_at),
            ended_at=moment(read.ended_at),
            outcome=read.outcome,
            reason=read.reason or None,
            error=bytes(read.error) if bytes(read.error) != b"null" else None,
            plugin_version=read.plugin_version,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
        return None


def last_attempt(job: Job, error: bytes | None) -> Attempt | None:
    """Give the attempt with which a final job ended, which stands in the job itself; None if nobody claimed it."""
    if job.claimed_at is None or job.worker_id is None:
        return None
    outcome = "lost" if job.reason in {Reason.WORKER_LOST, Reason.POISONED} else str(job.state)
    return Attempt(
        number=job.attempt,
        worker_id=job.worker_id,
        claimed_at=job.claimed_at,
        started_at=job.started_at,
        ended_at=job.finished_at,
        outcome=outcome,
        reason=str(job.reason) if job.reason else None,
        error=error,
        plugin_version=job.plugin_version,
    )


def write_troubles(troubles: Sequence[Trouble]) -> bytes:
    """Write a worker's troubles as JSON; nothing where there are none."""
    return msgspec.json.encode(troubles) if troubles else b""


_troubles_decoder = msgspec.json.Decoder(tuple[Trouble, ...])


def read_troubles(text: bytes | None) -> tuple[Trouble, ...]:
    """Read what `write_troubles` wrote; none where it is damaged, or younger than this code."""
    try:
        return _troubles_decoder.decode(text) if text else ()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def read_object(text: bytes | None) -> dict[str, Any]:
    """Read a JSON object; an empty one where there is none or it is damaged."""
    try:
        value = msgspec.json.decode(text or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
