"""Read all that is counted, for a monitoring system that asks every few seconds: two round trips, whatever waits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from emp_core.ids import is_job_type_name
from emp_core.jobs import JobState
from emp_core.store.batching import Pipeline
from emp_core.store.durability import evicts
from emp_core.store.keys import Keys
from emp_core.store.load import read_memory
from emp_core.store.records import known_moment, pairs, read_object, seconds, text_of, whole_number
from emp_core.store.scripts import Scripts
from emp_core.store.views import Views, read_counts
from emp_core.store.workers import WORKERS_SHOWN, status_of

KEPT: Final = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
"""The final states in the order in which measure.lua counts the jobs that are kept in each."""
_BIRTH: Final = re.compile(rb"(\d{13})-")
_LONGEST: Final = timedelta.max // timedelta(milliseconds=1)
_ABOUT: Final = (b"info", b"lost", b"draining", b"lag", b"renewed_at")


@dataclass(frozen=True, slots=True)
class Durations:
    """All durations there ever were, by size: bucket b counts those from 2^(b-1) up to 2^b milliseconds."""

    buckets: Mapping[int, int]
    total: timedelta


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """One worker: what it does, its room, how late its loop and its last renewal are, and the job types it serves."""

    status: str
    slots: int
    held: int
    loop_lag: timedelta
    renewed_ago: timedelta
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the store counts, at one moment of its clock.

    Args:
        at: that moment.
        born: when this store began to be EMP's; it changes when the store came back empty. None: not known.
        counts: as in `Stats`.
        kept: the ended jobs that are kept, by job type and state.
        durations: how long jobs waited for their claim (`wait`) and ran (`run`), by job type.
        failures: how many jobs failed, by job type and reason.
        oldest_pending: as in `Stats`.
        paused: the job types that are paused.
        set_aside: how many records were ever set aside because they could not be read.
        workers: the workers with a lease, at most a thousand of them.
        workers_beyond: how many more there are.
        evicts: whether the store discards keys when its memory is full.
        memory_used: bytes; 0 where the store does not say.
        memory_limit: bytes; 0 where there is none.
        round_trip: how long the reading took.
    """

    at: datetime
    born: datetime | None
    counts: Mapping[str, Mapping[str, int]]
    kept: Mapping[str, Mapping[JobState, int]]
    durations: Mapping[str, Mapping[str, Durations]]
    failures: Mapping[str, Mapping[str, int]]
    oldest_pending: Mapping[str, datetime]
    paused: frozenset[str]
    set_aside: int
    workers: Sequence[WorkerReading]
    workers_beyond: int
    memory_used: int
    memory_limit: int
    evicts: bool
    round_trip: timedelta


class Measures:
    """The measurements of one partition."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, keys: Keys, views: Views) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys
        self._views = views

    async def measure(self) -> Measured:
        """Read them.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        clock = asyncio.get_running_loop().time
        command = self._scripts["measure"].command(self._keys.tag, {"worker_limit": WORKERS_SHOWN})
        begun = clock()
        reply, memory = await asyncio.gather(self._pipeline.send(command), read_memory(self._pipeline))
        took = timedelta(seconds=clock() - begun)
        now, epoch, sums, totals, paused, kept, set_aside, workers, *rows = reply
        counts = read_counts(pairs(sums))
        durations, failures = _read_totals(pairs(totals))
        return Measured(
            at=_time(now),
            born=read_birth(epoch),
            counts=counts,
            kept={
                text_of(name): dict(zip(KEPT, map(int, numbers), strict=True))
                for name, *numbers in zip(*(kept[at::4] for at in range(4)), strict=True)
            },
            durations=durations,
            failures=failures,
            oldest_pending=await self._views.oldest_pending(counts),
            paused=frozenset(map(text_of, paused)),
            set_aside=set_aside,
            workers=tuple(_read_worker(row, _time(now)) for row in rows),
            workers_beyond=max(0, workers - len(rows)),
            memory_used=memory.used,
            memory_limit=memory.limit,
            evicts=evicts(memory.policy),
            round_trip=took,
        )


def read_birth(epoch: bytes) -> datetime | None:
    """Give the time that an epoch begins with; None where there is no epoch, or none with a time."""
    match = _BIRTH.match(epoch)
    return None if match is None else known_moment(match[1])


@dataclass(slots=True)
class _Sizes:
    buckets: dict[int, int] = field(default_factory=dict)
    milliseconds: int = 0


def _read_totals(
    fields: Mapping[bytes, bytes],
) -> tuple[dict[str, dict[str, Durations]], dict[str, dict[str, int]]]:
    """Read the totals that are kept for ever: what, bucket (or sum, or reason) and job type, with colons between.

    A damaged one is passed over.
    """
    sizes: dict[str, dict[str, _Sizes]] = {}
    failures: dict[str, dict[str, int]] = {}
    for name, text in fields.items():
        what, _, rest = text_of(name).partition(":")
        part, _, job_type = rest.partition(":")
        number, bucket = whole_number(text), whole_number(part)
        if number is None or not is_job_type_name(job_type):
            continue
        if what == JobState.FAILED:
            failures.setdefault(job_type, {})[part] = number
            continue
        of_type = sizes.setdefault(what, {}).setdefault(job_type, _Sizes())
        if part == "sum":
            of_type.milliseconds = min(number, _LONGEST)
        elif bucket is not None:
            of_type.buckets[bucket] = number
    durations = {
        what: {
            name: Durations(each.buckets, timedelta(milliseconds=each.milliseconds)) for name, each in of_types.items()
        }
        for what, of_types in sizes.items()
    }
    return durations, failures


def _read_worker(row: Sequence[Any], now: datetime) -> WorkerReading:
    lease, held, *about = row
    fields = {name: value for name, value in zip(_ABOUT, about, strict=True) if value}
    info = read_object(fields.get(b"info"))
    slots, types = info.get("slots"), info.get("types")
    return WorkerReading(
        status=status_of(fields, held, overdue=_time(lease) < now),
        slots=slots if isinstance(slots, int) else 0,
        held=held,
        loop_lag=timedelta(seconds=seconds(fields.get(b"lag"))),
        renewed_ago=max(timedelta(0), now - (known_moment(fields.get(b"renewed_at")) or now)),
        types=frozenset(map(str, types)) if isinstance(types, dict) else frozenset(),
    )


def _time(text: bytes) -> datetime:
    """Read a time that is always there."""
    return known_moment(text) or datetime.fromtimestamp(0, tz=UTC)
