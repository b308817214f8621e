"""A frozen picture of the whole store at the end of a run: every key, and every change that led to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from emp_core.store import PARTITION
from emp_core.store.keys import Keys
from emp_core.store.records import BEGINS_WITH
from faults.ledger import Change, read_ledger

INDEXES: Final = ("pending:", "scheduled", "expiring", "retained", "running", "finished:", "tag:", "held:", "asked:")
"""The keys that hold job ids."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the store holds. Key names are without the partition's tag; times are Unix milliseconds of the store."""

    jobs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    payloads: Mapping[str, bytes] = field(default_factory=dict)
    results: Mapping[str, bytes] = field(default_factory=dict)
    indexes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    workers: Mapping[str, float] = field(default_factory=dict)
    registered: frozenset[str] = frozenset()
    """The workers whose record says who they are, which only a registration writes."""
    counts: Mapping[str, int] = field(default_factory=dict)
    lifetimes: Mapping[str, int | None] = field(default_factory=dict)
    """Every key with the milliseconds that it has left; None: for ever."""
    broken: tuple[bytes, ...] = ()
    changes: tuple[Change, ...] = ()
    taken_at: int = 0

    @property
    def refused(self) -> int:
        """How many stale writes were refused."""
        return sum(n for name, n in self.counts.items() if name.startswith("refused:"))


def take_snapshot(url: str, namespace: str, data_dir: Path) -> Snapshot:
    """Read everything of a namespace, and the store's append-only file; nothing may change meanwhile."""
    tag = Keys(namespace, PARTITION).tag
    with redis.Redis.from_url(url) as client:
        reader = _Reader(client, tag)
        names = sorted(key.decode().removeprefix(f"{tag}:") for key in client.scan_iter(f"{tag}:*", count=1000))
        kinds = dict(zip(names, reader.each("type", names), strict=True))
        lifetimes = dict(zip(names, reader.each("pttl", names), strict=True))
        hashes = reader.of(names, kinds, b"hash", "hgetall")
        strings = reader.of(names, kinds, b"string", "get")
        members = reader.of(names, kinds, b"set", "smembers") | reader.of(names, kinds, b"zset", "zrange", 0, -1)
        deadlines = client.zrange(f"{tag}:workers", 0, -1, withscores=True)
        seconds, micros = client.time()
        broken = tuple(client.lrange(f"{tag}:broken", 0, -1))
    return Snapshot(
        jobs={id_: BEGINS_WITH | _texts(fields) for id_, fields in _under("job:", hashes)},
        payloads=dict(_under("payload:", strings)),
        results=dict(_under("result:", strings)),
        indexes={
            name: frozenset(member.decode() for member in found)
            for name, found in members.items()
            if name.startswith(INDEXES)
        },
        workers={worker.decode(): deadline for worker, deadline in deadlines},
        registered=frozenset(worker for worker, fields in _under("worker:", hashes) if b"info" in fields),
        counts={name: int(n) for name, n in _texts(hashes.get("counts", {})).items()},
        lifetimes={name: None if left < 0 else left for name, left in lifetimes.items()},
        broken=broken,
        changes=read_ledger(data_dir, tag),
        taken_at=int(seconds) * 1000 + int(micros) // 1000,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    client: redis.Redis
    tag: str

    def each(self, command: str, names: Iterable[str], *arguments: Any) -> list[Any]:
        """Ask the same of many keys in one round trip."""
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            getattr(pipeline, command)(f"{self.tag}:{name}", *arguments)
        return pipeline.execute()

    def of(
        self, names: Iterable[str], kinds: Mapping[str, bytes], kind: bytes, command: str, *arguments: Any
    ) -> dict[str, Any]:
        """Read all keys of one kind."""
        wanted = [name for name in names if kinds[name] == kind]
        return dict(zip(wanted, self.each(command, wanted, *arguments), strict=True))


def _under(prefix: str, found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name.removeprefix(prefix), value) for name, value in found.items() if name.startswith(prefix)]


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
