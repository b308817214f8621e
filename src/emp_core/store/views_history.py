"""Read what happened lately, minute by minute: how many jobs came and ended, and how long they waited and ran."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys
from emp_core.store.records import pairs, text_of, whole_number
from emp_core.store.scripts import Scripts

MINUTES_KEPT: Final = 24 * 60
MINUTES_A_CALL: Final = 200
_EPOCH: Final = datetime.fromtimestamp(0, tz=UTC)
_PLAIN: Final = frozenset({"submitted", "completed", "failed", "cancelled"})
_BUCKETED: Final = frozenset({"run", "wait"})

Buckets = Mapping[int, int]
"""How many durations there were by size: bucket b holds those from 2^(b-1) up to 2^b milliseconds."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What happened in one minute.

    `counts[what][job_type]` is how many jobs were submitted, completed, failed, cancelled; `durations[what][job_type]`
    how long they waited for their claim (`wait`) and ran (`run`).
    """

    at: datetime
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    durations: Mapping[str, Mapping[str, Buckets]] = field(default_factory=dict)


class History:
    """The minutes of one partition. Every call may raise StoreUnavailable."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys

    async def now(self) -> datetime:
        """Read the store's clock."""
        seconds, microseconds = await self._pipeline.send(("TIME",))
        return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))

    async def minutes(self, numbers: Sequence[int]) -> list[Minute]:
        """Read minutes by their numbers (Unix seconds / 60), in order; at most a day of them is kept."""
        script, tag = self._scripts["minutes"], self._keys.tag
        wanted = list(numbers[:MINUTES_KEPT])
        replies = await asyncio.gather(
            *(
                self._pipeline.send(script.command(tag, {}, [(number,) for number in wanted[at : at + MINUTES_A_CALL]]))
                for at in range(0, len(wanted), MINUTES_A_CALL)
            )
        )
        hashes = (pairs(flat) for reply in replies for flat in reply)
        return [_minute(number, fields) for number, fields in zip(wanted, hashes, strict=True)]


def _minute(number: int, fields: Mapping[bytes, bytes]) -> Minute:
    counts: dict[str, dict[str, int]] = {}
    durations: dict[str, dict[str, dict[int, int]]] = {}
    for name, value in fields.items():
        what, _, rest = text_of(name).partition(":")
        happened = whole_number(value)
        if happened is None:
            continue
        if what in _PLAIN:
            counts.setdefault(what, {})[rest] = happened
        elif what in _BUCKETED:
            part, _, job_type = rest.partition(":")
            bucket = whole_number(part)
            if bucket is not None:
                durations.setdefault(what, {}).setdefault(job_type, {})[bucket] = happened
    return Minute(_EPOCH + timedelta(minutes=number), counts, durations)
