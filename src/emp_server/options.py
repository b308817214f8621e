"""Make a submission of what the client asked for: its options checked, else the job type's, else EMP's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from emp_core.errors import InvalidRequest, TooLarge
from emp_core.ids import new_job_id
from emp_core.jobs import (
    LONGEST_DELAY,
    MAX_ATTEMPTS_DEFAULT,
    Announcement,
    Backoff,
    Idempotency,
    OnWorkerLost,
    Submission,
)
from emp_server.envelope import BackoffOption, Moment, Options

SHORTEST: Final = timedelta(milliseconds=1)
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def make_submission(
    known: Announcement,
    payload: bytes,
    wanted: Options,
    idempotency: Idempotency | None,
    *,
    limit_bytes: int,
    default_expires_in: timedelta | None = None,
    owner: str = "",
) -> Submission:
    """Return the submission of a payload for a job type; the payload has not been checked against the schema.

    Args:
        known: the job type; its options are the defaults.
        payload: the JSON text of the payload.
        wanted: the options of the client.
        idempotency: makes the submission repeatable.
        limit_bytes: the server's limit for payloads.
        default_expires_in: the server's expiry, where neither the client nor the type sets one.
        owner: the id of the API key.

    Raises:
        InvalidRequest: an option is out of its range; the error names it.
        TooLarge: the payload is over the server's or the type's limit.
    """
    check_size(known, payload, limit_bytes)
    ours = known.options
    run_at = _run_at(wanted)
    delay = _duration("delay", wanted.delay, shortest=timedelta(0))
    # The store's clock decides; the server's is good enough to see what can never be.
    due = datetime.now(tz=UTC) + delay if delay else run_at
    expires_at = _expires_at(wanted, due)
    expires_in = _duration("expires_in", wanted.expires_in, ours.get("expires_in")) or default_expires_in
    attempts = (
        int(ours.get("max_attempts", MAX_ATTEMPTS_DEFAULT)) if wanted.max_attempts is None else wanted.max_attempts
    )
    return Submission(
        job_id=new_job_id(),
        job_type=known.job_type,
        payload=payload,
        priority=wanted.priority or 0,
        run_at=run_at,
        delay=delay,
        expires_in=expires_in if expires_at is None else None,
        expires_at=expires_at,
        timeout=_duration("timeout", wanted.timeout, ours.get("timeout")),
        progress_timeout=_duration("progress_timeout", wanted.progress_timeout, ours.get("progress_timeout")),
        max_attempts=attempts,
        backoff=_backoff(wanted.backoff, ours.get("backoff")),
        on_worker_lost=wanted.on_worker_lost or _on_worker_lost(ours),
        retention=_duration("retention", wanted.retention, ours.get("retention"), shortest=timedelta(0)),
        tags=_tags(wanted.tags),
        schema_digest=known.digest,
        idempotency=idempotency,
        owner=owner,
    )


class Plain:
    """Makes the submissions that ask for nothing but a priority, of one announcement: they differ in little."""

    def __init__(self, known: Announcement, limit_bytes: int, default_expires_in: timedelta | None) -> None:
        self.known = known
        self._limit_bytes = limit_bytes
        self._first = make_submission(
            known, b"", Options(), None, limit_bytes=limit_bytes, default_expires_in=default_expires_in
        )

    def submission(self, payload: bytes, priority: int | None, owner: str) -> Submission:
        """Give the submission of a payload, as `make_submission` does.

        Raises:
            TooLarge: the payload is over the server's or the type's limit.
        """
        check_size(self.known, payload, self._limit_bytes)
        return msgspec.structs.replace(
            self._first, job_id=new_job_id(), payload=payload, priority=priority or 0, owner=owner
        )


def check_size(known: Announcement, payload: bytes, limit_bytes: int) -> None:
    """Hold a payload against the server's limit and the type's.

    Raises:
        TooLarge: it is over one of them.
    """
    limit = min(limit_bytes, int(known.options.get("payload_limit", limit_bytes)))
    if len(payload) > limit:
        raise TooLarge(f"the payload has {len(payload)} bytes; {limit} are allowed", limit=limit)


def _run_at(wanted: Options) -> datetime | None:
    if wanted.run_at is None:
        return None
    if wanted.delay is not None:
        raise InvalidRequest("give run_at or delay, not both", pointer="/delay")
    return _moment("run_at", wanted.run_at)


def _expires_at(wanted: Options, due: datetime | None) -> datetime | None:
    if wanted.expires_at is None:
        return None
    if wanted.expires_in is not None:
        raise InvalidRequest("give expires_in or expires_at, not both", pointer="/expires_at")
    expires_at = _moment("expires_at", wanted.expires_at)
    if due is not None and expires_at <= due:
        raise InvalidRequest(
            "expires_at is not after the time when the job is due: no worker could claim it", pointer="/expires_at"
        )
    return expires_at


def _moment(name: str, wanted: Moment) -> datetime:
    """Parse an absolute time.

    Raises:
        InvalidRequest: it is no time, has no offset or is too far away.
    """
    pointer = f"/{name}"
    try:
        moment = msgspec.convert(wanted, datetime, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{name}: {error}", pointer=pointer) from error
    if moment.tzinfo is None:
        raise InvalidRequest(f"{name} has no offset; write 2026-11-23T10:00:00Z, or Unix seconds", pointer=pointer)
    # The server's clock only bounds the wish; the store's clock decides when the time has come.
    if moment > datetime.now(tz=UTC) + LONGEST_DELAY:
        raise InvalidRequest(f"{name} is more than {LONGEST_DELAY.days} days away", pointer=pointer)
    # Every past moment means now; in the first hours of the year 1 some have no form in UTC.
    moment = max(moment, _LONG_AGO).astimezone(UTC)
    # The store keeps milliseconds, rounded up: the answer to the submission says the same.
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


def _duration(
    name: str, wanted: Moment | None, default: float | None = None, *, shortest: timedelta = SHORTEST
) -> timedelta | None:
    if wanted is None:
        return None if default is None else timedelta(seconds=default)
    pointer = "/" + name.replace(".", "/")
    try:
        duration = msgspec.convert(wanted, timedelta, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{name}: {error}; give seconds or ISO 8601 such as PT1M30S", pointer=pointer) from error
    if not shortest <= duration <= LONGEST_DELAY:
        least = f"{shortest.total_seconds():g} seconds"
        raise InvalidRequest(f"{name} is at least {least} and at most {LONGEST_DELAY.days} days", pointer=pointer)
    return duration


def _backoff(wanted: BackoffOption | None, default: Mapping[str, Any] | None) -> Backoff | None:
    if wanted is None and default is None:
        return None
    given = default or {}
    asked = wanted or BackoffOption()
    plain = Backoff()
    base = _duration("backoff.base", asked.base, given.get("base"), shortest=timedelta(0))
    cap = _duration("backoff.cap", asked.cap, given.get("cap"), shortest=timedelta(0))
    return Backoff(
        base=plain.base if base is None else base,
        factor=asked.factor if asked.factor is not None else float(given.get("factor", plain.factor)),
        cap=plain.cap if cap is None else cap,
        jitter=asked.jitter if asked.jitter is not None else float(given.get("jitter", plain.jitter)),
    )


def _on_worker_lost(ours: Mapping[str, Any]) -> OnWorkerLost:
    """Return the type's choice; a later release may have announced one that is not known here."""
    word = ours.get("on_worker_lost", OnWorkerLost.RETRY)
    return OnWorkerLost(word) if word in tuple(OnWorkerLost) else OnWorkerLost.RETRY


def _tags(wanted: tuple[str, ...]) -> tuple[str, ...]:
    for at, tag in enumerate(wanted):
        if not tag.isprintable():
            raise InvalidRequest("a tag has printable characters only", pointer=f"/tags/{at}")
    return tuple(dict.fromkeys(wanted))
