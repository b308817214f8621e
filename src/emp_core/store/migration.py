"""Migrate a store to this release's format, while no server and no worker is at work on it.

Repeatable: the number is written last, and a record that has been migrated is not changed again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from emp_core.errors import StoreUnfit
from emp_core.store.connection import connect
from emp_core.store.format import NEWEST_FORMAT, OLDEST_FORMAT, parse_format
from emp_core.store.jobs import SWEEP_GAP
from emp_core.store.keys import Keys
from emp_core.store.refusals import explain

BATCH: Final = 500
"""Records that are read in one round trip."""
_OLD_NUMBER, _NUMBER = b"seq", b"no"
"""Fields of a record of format 0, and of 1, that hold a job's number in the sequence."""
_ON_LOST: Final = b"on_lost"
"""A field that only format 2 has."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration would do, or has done.

    Args:
        found: the store's format; 0 if it has no number.
        target: the format that it gets; equal to `found` if there is nothing to do.
        records: how many records of jobs there are.
        changed: how many of them have to be changed.
        unreadable: how many of them are not what a record is; they are left alone.
        set_aside: how many records wait for `emp doctor` because a release could not read them.
        is_in_use: whether a server or a worker was at work on the store within the last seconds.
    """

    found: int
    target: int
    records: int = 0
    changed: int = 0
    unreadable: int = 0
    set_aside: int = 0
    is_in_use: bool = False

    @property
    def is_needed(self) -> bool:
        """Return whether there is anything to do."""
        return self.found != self.target


async def migrate(redis_url: str, namespace: str, partition: str, *, apply: bool) -> Migration:
    """Look at a store, and with `apply` migrate it.

    Raises:
        StoreUnavailable: the store does not answer.
        StoreUnfit: it has a newer format than this release knows, or is in use.
        SettingsError: the URL cannot be read.
    """
    client, keys = connect(redis_url), Keys(namespace, partition)
    try:
        return await _migrate(client, keys, apply=apply)
    except (RedisError, OSError, TimeoutError) as error:
        raise explain(error) from error
    finally:
        await client.aclose()


async def _migrate(client: Redis, keys: Keys, *, apply: bool) -> Migration:
    found = await _format(client, keys)
    if found > NEWEST_FORMAT:
        raise StoreUnfit(
            f"The store has format {found}, this release works with formats {OLDEST_FORMAT} to {NEWEST_FORMAT}. "
            "Install the release that the other processes on this store run"
        )
    if found >= OLDEST_FORMAT:
        return Migration(found, found)
    is_in_use = await _is_in_use(client, keys)
    if apply and is_in_use:
        raise StoreUnfit(
            "A server or a worker of an older release is at work on this store. Stop all of them, wait "
            f"{SWEEP_GAP.total_seconds():.0f} seconds, and run the command again"
        )
    records = changed = unreadable = 0
    target = OLDEST_FORMAT
    async for ids in _batches(client, keys):
        pairs = await _ask(client, [("HMGET", key, _OLD_NUMBER, _NUMBER, _ON_LOST) for key in ids])
        old = {
            key: pair[0]
            for key, pair in zip(ids, pairs, strict=True)
            if isinstance(pair, list) and pair[0] is not None and pair[1] is None
        }
        if any(isinstance(pair, list) and pair[2] is not None for pair in pairs):
            target = NEWEST_FORMAT  # the number was lost, and what it stands for is in use
        records += len(ids)
        changed += len(old)
        unreadable += sum(isinstance(pair, Exception) for pair in pairs)
        if apply:
            # In this order: a run that was interrupted finds at least one of the two fields.
            await _ask(client, [("HSET", key, _NUMBER, number) for key, number in old.items()])
            await _ask(client, [("HDEL", key, _OLD_NUMBER) for key in old])
    (set_aside,) = await _ask(client, [("LLEN", keys("broken"))])
    if apply:
        await client.set(keys("format"), target)
    waiting = set_aside if isinstance(set_aside, int) else 0
    return Migration(found, target, records, changed, unreadable, waiting, is_in_use)


async def _format(client: Redis, keys: Keys) -> int:
    """Return the store's format: 0 if it has no number that can be read, the target if it is new."""
    (number,) = await _ask(client, [("GET", keys("format"))])
    if isinstance(number, bytes):
        return parse_format(number)
    if number is None and not await client.exists(keys("epoch"), keys("seq")):
        return OLDEST_FORMAT
    return 0


async def _is_in_use(client: Redis, keys: Keys) -> bool:
    """Return whether a janitor has swept lately: there is one in every server and worker."""
    (swept_at,) = await _ask(client, [("HGET", keys("sweep"), "at")])
    seconds, _ = await client.time()
    is_number = isinstance(swept_at, bytes) and swept_at.isdigit()
    return is_number and seconds - int(swept_at) / 1000 < SWEEP_GAP.total_seconds()


async def _batches(client: Redis, keys: Keys) -> AsyncIterator[Sequence[bytes | str]]:
    """Yield the keys of all records; a key may come twice."""
    cursor = 0
    while True:
        cursor, found = await client.scan(cursor, match=f"{_escaped(keys('job', ''))}*", count=BATCH)
        if found:
            yield found
        if not cursor:
            return


def _escaped(text: str) -> str:
    """Write a text as a pattern that matches it alone."""
    return "".join(f"\\{letter}" if letter in "[]*?\\^" else letter for letter in text)


async def _ask(client: Redis, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """Run commands in one round trip; an error of one of them stands in its place."""
    if not commands:
        return []
    async with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))
