"""Read how full the store is: its memory, and how many jobs wait in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from emp_core.jobs import WAITING_STATES
from emp_core.store.batching import Pipeline
from emp_core.store.durability import read_info
from emp_core.store.views import Views


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory used and allowed (0: as much as there is, or the store does not say), and its eviction policy."""

    used: int
    limit: int
    policy: str


@dataclass(frozen=True, slots=True)
class StoreLoad:
    """The memory of a store, and the jobs that wait in it."""

    memory: Memory
    waiting: int


async def read_load(pipeline: Pipeline, views: Views) -> StoreLoad:
    """Look once.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    memory, counts = await asyncio.gather(read_memory(pipeline), views.counts())
    return StoreLoad(memory, sum(states.get(state, 0) for states in counts.values() for state in WAITING_STATES))


async def read_memory(pipeline: Pipeline) -> Memory:
    """Read the memory that the store uses, and may use.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    info = await read_info(pipeline, "memory")
    used, limit = _number(info.get("used_memory")), _number(info.get("maxmemory"))
    return Memory(used, limit, info.get("maxmemory_policy", ""))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0
