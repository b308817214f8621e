"""Read what a store keeps of what it has answered: from its real configuration, never assumed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from emp_core.errors import InternalError, StoreError
from emp_core.store.batching import Pipeline

_WANTED: Final = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")
_SECTIONS: Final = ("persistence", "memory", "replication")
KEEPS_ALL: Final = "noeviction"


class Level(StrEnum):
    """What of an answered write survives; each level survives what the ones before it do. See promises.md."""

    UNKNOWN = "unknown"
    MEMORY = "memory"
    """Crashes of EMP and of workers."""
    PROCESS = "process"
    """The end of the store's process; a power cut may cost about two seconds."""
    DISK = "disk"
    """A power cut."""
    REPLICA = "replica"
    """The loss of the primary."""


@dataclass(frozen=True, slots=True)
class Durability:
    """What the store keeps, and from what that is known.

    Args:
        level: what survives.
        why: the configuration that it follows from, or why it is not known.
        policy: `maxmemory-policy`; empty where it is not known.
        replicas: how many replicas follow the store now.
        min_replicas: `min-replicas-to-write`; None where it is not known.
    """

    level: Level
    why: str
    policy: str
    replicas: int
    min_replicas: int | None

    @property
    def evicts(self) -> bool:
        """Whether the store throws keys away when its memory is full, jobs among them."""
        return evicts(self.policy)


def evicts(policy: str) -> bool:
    """Return whether a store of this `maxmemory-policy` discards keys when its memory is full; empty: not known."""
    return policy not in {"", KEEPS_ALL}


def eviction_detail(policy: str) -> str:
    """Return what is wrong with a store that evicts, and what to do."""
    return (
        f"the store's maxmemory-policy is {policy}: it discards jobs when its memory is full. "
        f"Run `redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}`, and write it to its configuration file"
    )


async def read_durability(pipeline: Pipeline, *, replicated: bool) -> Durability:
    """Read the configuration, and what INFO says where CONFIG is forbidden, as managed stores do.

    Args:
        pipeline: to the store.
        replicated: whether EMP waits for a replica before it answers a submission.

    Raises:
        StoreUnavailable: the store does not answer, or lets us in no more.
    """
    config, info = await asyncio.gather(_config(pipeline), read_info(pipeline, *_SECTIONS))
    min_replicas = _number(config.get("min-replicas-to-write"))
    if min_replicas is None and "min_slaves_good_slaves" in info:  # INFO has it only where the setting is above 0
        min_replicas = 1
    level, why = _of_itself(config, info)
    if replicated and min_replicas:
        level, why = Level.REPLICA, f"min-replicas-to-write {min_replicas}, and submissions wait for one; {why}"
    return Durability(
        level=level,
        why=why,
        policy=config.get("maxmemory-policy") or info.get("maxmemory_policy", ""),
        replicas=_number(info.get("connected_slaves")) or 0,
        min_replicas=min_replicas,
    )


def _of_itself(config: Mapping[str, str], info: Mapping[str, str]) -> tuple[Level, str]:
    """Tell what the store keeps by itself, without a replica."""
    is_kept = {"yes": True, "no": False, "1": True, "0": False}.get(
        config.get("appendonly") or info.get("aof_enabled", "")
    )
    fsync = config.get("appendfsync")
    if is_kept is None:
        return Level.UNKNOWN, "the store lets nobody read its configuration (CONFIG GET, INFO)"
    if not is_kept:
        return Level.MEMORY, "appendonly no"
    if fsync is None:
        return Level.UNKNOWN, "it has an append-only file, but does not say when it syncs it (CONFIG GET is forbidden)"
    return (Level.DISK if fsync == "always" else Level.PROCESS), f"appendonly yes, appendfsync {fsync}"


async def _config(pipeline: Pipeline) -> Mapping[str, str]:
    try:
        read: Mapping[bytes, bytes] = await pipeline.send(("CONFIG", "GET", *_WANTED))
    except (InternalError, StoreError) as error:
        _raise_unless_forbidden(error)
        return {}
    return {name.decode(): value.decode() for name, value in read.items()}


async def read_info(pipeline: Pipeline, *sections: str) -> Mapping[str, str]:
    """Read what the store says of itself; nothing where it may not be asked.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    try:
        read: Any = await pipeline.send(("INFO", *sections))
    except (InternalError, StoreError) as error:
        _raise_unless_forbidden(error)
        return {}
    lines = (read.decode() if isinstance(read, bytes) else str(read)).splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def _raise_unless_forbidden(error: InternalError | StoreError) -> None:
    """Go on where the command is unknown (managed stores rename it) or forbidden to our user."""
    if isinstance(error, StoreError) and error.code != "NOPERM":
        raise error


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
