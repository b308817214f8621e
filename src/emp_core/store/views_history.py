"""Read what happened lately, minute by minute: how many jobs came and ended, and how long they waited and ran."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys

MINUTES_KEPT: Final = 24 * 60
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

    def __init__(self, pipeline: Pipeline, keys: Keys) -> None:
        self._pipeline = pipeline
        self._keys = keys

    async def now(self) -> datetime:
        """Read the store's clock."""
        seconds, microseconds = await self._pipeline.send(("TIME",))
        return _EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))

    async def minutes(self, numbers: Sequence[int]) -> list[Minute]:
        """Read minutes by their numbers (Unix seconds / 60), in order; at most a day of them is kept."""
        send, key = self._pipeline.send, self._keys
        hashes = await asyncio.gather(
            *(send(("HGETALL", key("minute", str(number)))) for number in numbers[:MINUTES_KEPT])
        )
        return [_minute(number, fields) for number, fields in zip(numbers, hashes, strict=False)]


def _minute(number: int, fields: Mapping[bytes, bytes]) -> Minute:
    counts: dict[str, dict[str, int]] = {}
    durations: dict[str, dict[str, dict[int, int]]] = {}
    for name, value in fields.items():
        what, _, rest = name.decode().partition(":")
        if what in _PLAIN:
            counts.setdefault(what, {})[rest] = int(value)
        elif what in _BUCKETED:
            bucket, _, job_type = rest.partition(":")
            durations.setdefault(what, {}).setdefault(job_type, {})[int(bucket)] = int(value)
    return Minute(_EPOCH + timedelta(minutes=number), counts, durations)
