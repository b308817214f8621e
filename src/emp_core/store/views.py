"""Read the store: one job, lists of jobs by the indexes there are, counts. Each read is bounded, nothing is scanned."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from emp_core.errors import InvalidRequest
from emp_core.ids import JobId, is_job_id, is_job_type_name
from emp_core.jobs import FINAL_STATES, Attempt, Job, JobDetails, JobState
from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys
from emp_core.store.records import known_moment, last_attempt, read_attempt, read_job, text_of, whole_number
from emp_core.store.scripts import Scripts

MINUTES_SHOWN = 60
COMBINATIONS = "state; state and job_type (pending or a final state); tag; worker"
RUNNING = "running"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows; only what an index serves. `state` may also be `running`: claimed or in_progress."""

    state: str | None = None
    job_type: str | None = None
    tag: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs of a list, and where the next ones begin (None: there are none)."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts by job type, the last hour by minute, and since when the oldest pending job of each type waits.

    `counts[job_type]` holds the jobs in each live state and totals that only grow: submitted, completed, failed,
    cancelled, retried, lost (attempts whose worker was lost), refused (writes with an old token), revived.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    minutes: Sequence[dict[str, Any]] = ()
    oldest_pending: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Index:
    """A sorted set of job ids, and which way it is read."""

    key: str
    newest_first: bool
    keep: frozenset[JobState] | None = None


_Place = tuple[int, JobId]
"""Where a job stands in an index: its score, then its id. A cursor is the place of the last job shown."""

_HIGHEST_SCORE = 10**16
_CURSOR = re.compile(r"(\d{1,16}),([0-9a-z]{26})")


_OF_A_KEY = b'{"id":"",'
"""How the note of a damaged key begins that is no job's; see note_damage in prelude.lua."""


class Views:
    """Reads of one partition. Every call may raise StoreUnavailable."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys

    async def get(self, job_ids: Sequence[JobId]) -> list[Job | None]:
        """Read jobs, in order; None for one that does not exist."""
        hashes = await asyncio.gather(*(self._pipeline.send(("HGETALL", self._keys("job", id_))) for id_ in job_ids))
        return [read_job(id_, fields) for id_, fields in zip(job_ids, hashes, strict=True)]

    async def details(self, job_id: JobId) -> JobDetails | None:
        """Read a job with its position, attempts, and its result or error."""
        key, send = self._keys, self._pipeline.send
        fields, records, result, error = await asyncio.gather(
            send(("HGETALL", key("job", job_id))),
            send(("LRANGE", key("attempts", job_id), 0, -1)),
            send(("GET", key("result", job_id))),
            send(("GET", key("error", job_id))),
        )
        job = read_job(job_id, fields)
        if job is None:
            return None
        position = None
        if job.state is JobState.PENDING:
            position = await send(("ZRANK", key("pending", job.job_type), job_id))
        attempts: list[Attempt] = [attempt for attempt in map(read_attempt, records) if attempt is not None]
        last = last_attempt(job, error) if job.state in FINAL_STATES else None
        return JobDetails(job, position, (*attempts, last) if last else tuple(attempts), result, error)

    async def set_aside(self) -> int:
        """Return how many job records were set aside and wait for `emp doctor`; at most 1000 notes are kept."""
        notes = await self._pipeline.send(("LRANGE", self._keys("broken"), 0, -1))
        return sum(not note.startswith(_OF_A_KEY) for note in notes)

    async def payload(self, job_id: JobId) -> bytes | None:
        """Read a job's payload, byte for byte."""
        payload: bytes | None = await self._pipeline.send(("GET", self._keys("payload", job_id)))
        return payload

    async def result(self, job_id: JobId) -> bytes | None:
        """Read a completed job's result, byte for byte."""
        result: bytes | None = await self._pipeline.send(("GET", self._keys("result", job_id)))
        return result

    async def log(self, job_id: JobId, start: int = 0) -> list[bytes]:
        """Read a job's log from a line on: JSON objects with at, level, message and attempt."""
        lines: list[bytes] = await self._pipeline.send(("LRANGE", self._keys("log", job_id), start, -1))
        return lines

    async def list(self, wanted: JobFilter, cursor: str | None, limit: int) -> Page:
        """Read a page of jobs: waiting ones in the order of their claim, all others newest first.

        Raises:
            InvalidRequest: no index serves this combination, or the cursor is not one that a page gave.
        """
        start = _read_cursor(cursor)
        if wanted.state == JobState.PENDING and wanted.job_type is None and not (wanted.tag or wanted.worker):
            return await self._pending_of_all_types(start, limit)
        if wanted.worker is not None:
            return await self._held_by(wanted, start, limit)
        index = self._index(wanted)
        return await self._page(await self._read_index(index, start, limit + 1), limit, index.keep)

    def _index(self, wanted: JobFilter) -> _Index:
        state, job_type, key = wanted.state, wanted.job_type, self._keys
        if wanted.tag is not None and state is None and job_type is None:
            return _Index(key("tag", wanted.tag), newest_first=True)
        if wanted.tag is None and job_type is not None:
            if state == JobState.PENDING:
                return _Index(key("pending", job_type), newest_first=False)
            if state in FINAL_STATES:
                return _Index(key("finished", str(state), job_type), newest_first=True)
        elif wanted.tag is None:
            if state == JobState.SCHEDULED:
                return _Index(key("scheduled"), newest_first=False)
            if state == RUNNING:
                return _Index(key("running"), newest_first=True)
            if state in {JobState.CLAIMED, JobState.IN_PROGRESS}:
                return _Index(key("running"), newest_first=True, keep=frozenset({JobState(str(state))}))
            if state in FINAL_STATES:
                return _Index(key("finished", str(state)), newest_first=True)
        raise InvalidRequest(f"jobs can be listed by {COMBINATIONS}")

    async def _read_index(self, index: _Index, start: _Place | None, limit: int) -> Sequence[_Place]:
        """Read the ids behind a place with their scores, where ids of one score are in the order of the ids.

        The place is found by score and id and not by counting: the job that stood there may have left the index.
        """
        first, last = ("+inf", "-inf") if index.newest_first else ("-inf", "+inf")
        command = "ZREVRANGEBYSCORE" if index.newest_first else "ZRANGEBYSCORE"
        begin = first if start is None else start[0]
        places: list[_Place] = []
        seen = 0
        while True:
            found = await self._pipeline.send((command, index.key, begin, last, "WITHSCORES", "LIMIT", seen, limit))
            read = [_place(id_, at) for id_, at in found]
            places += [
                at
                for at in read
                if at is not None and (start is None or (at < start if index.newest_first else at > start))
            ]
            seen += len(read)
            if len(read) < limit or len(places) >= limit:
                return places[:limit]

    async def _page(self, places: Sequence[_Place], limit: int, keep: frozenset[JobState] | None = None) -> Page:
        """Give a page from the places of its jobs and, if there is a next page, of one more."""
        shown = places[:limit]
        jobs = await self.get([job_id for _, job_id in shown])
        kept = tuple(job for job in jobs if job is not None and (keep is None or job.state in keep))
        return Page(kept, f"{shown[-1][0]},{shown[-1][1]}" if len(places) > limit else None)

    async def _pending_of_all_types(self, start: _Place | None, limit: int) -> Page:
        """Merge the heads of all types' lines; scores are unique in a partition, so they alone order the page."""
        types = [job_type for job_type, states in (await self.counts()).items() if states.get(JobState.PENDING, 0) > 0]
        lines = await asyncio.gather(
            *(
                self._read_index(_Index(self._keys("pending", name), newest_first=False), start, limit + 1)
                for name in types
            )
        )
        return await self._page(sorted(place for line in lines for place in line)[: limit + 1], limit)

    async def _held_by(self, wanted: JobFilter, start: _Place | None, limit: int) -> Page:
        if wanted.state not in {None, RUNNING} or wanted.job_type is not None or wanted.tag is not None:
            raise InvalidRequest(f"jobs can be listed by {COMBINATIONS}")
        held = await self._pipeline.send(("SMEMBERS", self._keys("held", wanted.worker or "")))
        places = sorted(((0, JobId(text_of(id_))) for id_ in held), reverse=True)
        return await self._page([place for place in places if start is None or place < start][: limit + 1], limit)

    async def counts(self) -> dict[str, dict[str, int]]:
        """Read the counts of every job type; see `Stats`."""
        return read_counts(await self._pipeline.send(("HGETALL", self._keys("counts"))))

    async def stats(self) -> Stats:
        """Read the counts of every job type, the last hour minute by minute, and the oldest pending jobs."""
        counts, minutes = await asyncio.gather(self.counts(), self._minutes())
        return Stats(counts, minutes, await self.oldest_pending(counts))

    async def oldest_pending(self, counts: Mapping[str, Mapping[str, int]]) -> dict[str, datetime]:
        """Read since when the oldest pending job of each type waits; the counts say which types have one."""
        types = [job_type for job_type, states in counts.items() if states.get(JobState.PENDING, 0) > 0]
        if not types:
            return {}
        command = self._scripts["oldest"].command(self._keys.tag, {}, [(name,) for name in types])
        times = map(known_moment, await self._pipeline.send(command))
        return {name: at for name, at in zip(types, times, strict=True) if at is not None}

    async def _minutes(self) -> Sequence[dict[str, Any]]:
        seconds, _ = await self._pipeline.send(("TIME",))
        this = int(seconds) // 60
        numbers = range(this - MINUTES_SHOWN + 1, this + 1)
        hashes = await asyncio.gather(
            *(self._pipeline.send(("HGETALL", self._keys("minute", str(n)))) for n in numbers)
        )
        minutes = []
        for number, fields in zip(numbers, hashes, strict=True):
            at = datetime.fromtimestamp(0, tz=UTC) + timedelta(minutes=number)
            minute: dict[str, Any] = {"minute": at, "submitted": {}, "completed": {}, "failed": {}}
            for name, count in fields.items():
                what, _, job_type = text_of(name).partition(":")
                number_of_jobs = whole_number(count)
                if what in minute and number_of_jobs is not None:
                    minute[what][job_type] = number_of_jobs
            minutes.append(minute)
        return minutes


def read_counts(fields: Mapping[bytes, bytes]) -> dict[str, dict[str, int]]:
    """Read the hash of the counters; see `Stats`. A damaged one is passed over."""
    counts: dict[str, dict[str, int]] = {}
    for name, text in fields.items():
        what, _, job_type = text_of(name).partition(":")
        number = whole_number(text)
        if number is not None and is_job_type_name(job_type):
            counts.setdefault(job_type, {})[what] = number
    return counts


def _place(job_id: bytes, score: float) -> _Place | None:
    """Read an entry of an index; None for one that no cursor could name, as it is damaged."""
    text = text_of(job_id)
    return (int(score), JobId(text)) if is_job_id(text) and 0 <= score < _HIGHEST_SCORE else None


def _read_cursor(cursor: str | None) -> _Place | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest("the cursor is not one that a page gave", pointer=None)
    return int(match[1]), JobId(match[2])
