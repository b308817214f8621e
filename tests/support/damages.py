"""Damages to the store's bookkeeping: every kind of key that a used store holds, each with every sort of wrong value.

A used store has all kinds of keys (`emp_core.store.keys.OWNERS`) but `format`, whose damage is to stop every process.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis

from emp_core.api_keys import Scope, new_key
from emp_core.ids import JobId, WorkerId, new_job_id, new_worker_id
from emp_core.jobs import Handle, Idempotency, Reason, Released, Retry, Submission
from emp_core.store import CancelAsk, Store
from emp_core.store.keys import OWNERS, Keys, namespace_tag
from support.serving import ANYTHING, WORDS, register

VALUES: Final[Mapping[str, bytes]] = {
    "not UTF-8": b'"\xff\xfe"',
    "no number": b"many",
    "empty": b"",
    "huge": b"9" * 30,
    "negative": b"-7",
}
WRONG_TYPE: Final = "wrong type"
_COUNTERS: Final = frozenset({"counts", "totals", "minute:"})
_LEASE: Final = 15_000
UNTOUCHED: Final = frozenset({"format"})
"""A format that cannot be read is one of another release: all processes end."""


@dataclass(frozen=True)
class Damage:
    """One wrong value in one key: of which kind the key is, and in a hash in which field."""

    kind: str
    key: bytes
    type: str
    value: str
    field: bytes = b""

    def __str__(self) -> str:
        where = self.kind + (f".{self.field.decode(errors='replace')}" if self.field else "")
        return f"{where} {self.value}"

    async def apply(self, client: Redis) -> None:
        """Do it."""
        if self.value == WRONG_TYPE:
            await client.delete(self.key)
            await (client.set(self.key, b"x") if self.type == "list" else client.rpush(self.key, b"x"))
            return
        value = VALUES[self.value]
        match self.type:
            case "string":
                await client.set(self.key, value, keepttl=True)
            case "hash":
                await client.hset(self.key, self.field or value, value)
            case "list":
                await client.lpush(self.key, value)
            case "set":
                await client.sadd(self.key, value)
            case "zset":
                await self._in_zset(client, value)

    async def _in_zset(self, client: Redis, value: bytes) -> None:
        """Add a member that is due; a number becomes a member's score."""
        if self.value in {"huge", "negative"}:
            (member, *_) = await client.zrange(self.key, 0, 0)
            await client.zadd(self.key, {member: float(value)})
        else:
            await client.zadd(self.key, {value: 0})


@dataclass(frozen=True)
class UsedStore:
    """What a used store holds, and who is in it."""

    client: Redis
    tags: tuple[str, str]
    token: str
    worker: WorkerId
    jobs: tuple[JobId, ...]
    dump: Mapping[bytes, tuple[bytes, int]]
    types: Mapping[bytes, str]

    async def restore(self) -> None:
        """Bring back everything as it was, as if the worker had renewed its lease just now."""
        seconds, _ = await self.client.time()
        now = seconds * 1000
        kept = await _keys_of(self.client, self.tags)
        async with self.client.pipeline(transaction=True) as pipeline:
            if kept:
                pipeline.delete(*kept)
            for key, (value, ttl) in self.dump.items():
                pipeline.restore(key, max(ttl, 0), value, replace=True)
            pipeline.zadd(f"{self.tags[0]}:workers", {self.worker: now + _LEASE})
            pipeline.hset(f"{self.tags[0]}:worker:{self.worker}", "renewed_at", now)
            pipeline.hset(f"{self.tags[0]}:sweep", "at", now)
            await pipeline.execute()

    def key(self, kind: str, *parts: str) -> str:
        """Name a key of the partition."""
        return ":".join((self.tags[0], kind, *parts))

    def submission(self) -> Submission:
        """Make a job, the most urgent of its type."""
        return Submission(new_job_id(), ANYTHING.job_type, b'{"n":3}', priority=1000)

    async def damages(self) -> list[Damage]:
        """Name every damage: each kind of key with each sort of value, each field of a hash of its own."""
        await self.restore()
        found = []
        for kind, key in self._one_of_each_kind():
            kind_of_key = self.types[key]
            fields: Sequence[bytes] = [b""]
            if kind_of_key == "hash":
                present = sorted(await self.client.hkeys(key))
                # Counters are alike: of those some are enough.
                some = present[:: -(-len(present) // 4)] if kind in _COUNTERS else present
                fields = [*some, b""]
            found += [Damage(kind, key, kind_of_key, value, field) for field in fields for value in VALUES]
            found.append(Damage(kind, key, kind_of_key, WRONG_TYPE))
        return found

    def _one_of_each_kind(self) -> Iterator[tuple[str, bytes]]:
        for owner in OWNERS:
            if owner in UNTOUCHED:
                continue
            names = [key for key in sorted(self.dump) if _has_kind(key.decode(), owner, self.tags)]
            assert names, f"the store has no {owner}"
            # A job's keys one after the other are of jobs in different states.
            yield owner, names[0]


def sample(damages: Sequence[Damage], count: int, seed: int) -> list[Damage]:
    """Choose damages: of as many kinds as may be."""
    chance = random.Random(seed)
    mixed = chance.sample(list(damages), len(damages))
    by_kind: dict[str, list[Damage]] = {}
    for damage in mixed:
        by_kind.setdefault(damage.kind, []).append(damage)
    turns = [
        found[turn]
        for turn in range(max(map(len, by_kind.values())))
        for found in by_kind.values()
        if turn < len(found)
    ]
    return turns[:count]


def _has_kind(key: str, owner: str, tags: tuple[str, str]) -> bool:
    for tag in tags:
        name = key.removeprefix(f"{tag}:")
        if name != key:
            return name.startswith(owner) if owner.endswith(":") else name == owner
    return False


async def _keys_of(client: Redis, tags: tuple[str, str]) -> list[bytes]:
    return [key for tag in tags for key in await client.keys(f"{tag}:*")]


async def use(store: Store, client: Redis, namespace: str, partition: str = "00") -> UsedStore:
    """Do everything that leaves something behind."""
    hand = await register(store)
    await store.types.announce([WORDS, ANYTHING])
    key, token = new_key("tester", Scope)
    await store.api_keys.add(key)
    await store.api_keys.open_session(key.key_id, timedelta(hours=1))
    jobs = store.jobs
    kind = ANYTHING.job_type

    async def submit(**fields: Any) -> JobId:
        job_id = new_job_id()
        given = {"job_type": kind, "payload": b'{"n":1}', "tags": ("red",), **fields}
        await jobs.submit([Submission(job_id=job_id, **given)])
        return job_id

    ids = [await submit(), await submit(), await submit(), await submit()]
    for _ in range(3):
        job = await hand.start(kind)
        await hand.report(
            job, 0.5, "half", b'{"at":"2026-01-01T00:00:00Z","level":"info","message":"a line","attempt":1}'
        )
        await jobs.save(hand.worker_id, [Handle(job.job_id, job.token, b'{"n":1}')])
        retry = Retry(job.job_id, job.token, Reason.ERROR, b'{"message":"no"}', timedelta(0))
        await jobs.settle(hand.worker_id, [retry])
        await jobs.promote()
    done, failed, cancelled = [await hand.start(kind) for _ in range(3)]
    await hand.complete(done, b'{"words":1}')
    await hand.fail(failed)
    released = Released(cancelled.job_id, cancelled.token)
    await jobs.settle(hand.worker_id, [released])
    await jobs.cancel([CancelAsk(cancelled.job_id, "tester", "why")])
    gone = new_worker_id()
    await store.workers.register(gone, {"name": "gone"})
    await store.workers.leave(gone, "drained")
    # Broken before others wait: the claim that finds it takes nothing else.
    broken = await submit(job_type=WORDS.job_type)
    keys = Keys(namespace, partition)
    await client.delete(keys("job", broken), keys("payload", broken))
    await client.zrem(keys("tag", "red"), broken)
    await client.hincrby(keys("counts"), f"pending:{WORDS.job_type}", -1)
    await jobs.claim(hand.worker_id, hand.claims + 1, {WORDS.job_type: 1}, 1)
    hand.claims += 1
    running = await hand.start(kind)
    await hand.report(
        running, 0.25, "a quarter", b'{"at":"2026-01-01T00:00:00Z","level":"info","message":"x","attempt":1}'
    )
    await jobs.cancel([CancelAsk(running.job_id, "tester", "why")])
    ids += [
        await submit(expires_in=timedelta(hours=1), idempotency=Idempotency("scope", "key", "digest")),
        await submit(priority=5),
        await submit(delay=timedelta(hours=1)),
        await submit(job_type=WORDS.job_type, payload=b'{"text":"a"}'),
    ]
    await store.types.pause(WORDS.job_type)
    await jobs.sweep()
    await store.workers.renew(hand.worker_id, 0.01)
    tags = (Keys(namespace, partition).tag, namespace_tag(namespace))
    names = sorted(await _keys_of(client, tags))
    dump = {name: (await client.dump(name), await client.pttl(name)) for name in names}
    types = {name: (await client.type(name)).decode() for name in names}
    return UsedStore(client, tags, token, hand.worker_id, tuple(ids), dump, types)
