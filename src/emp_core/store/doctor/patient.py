"""The store under examination: plain reads in batches, several at one moment, and careful writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from emp_core.store.keys import Keys, namespace_tag
from emp_core.store.refusals import explain, or_empty
from emp_core.store.scripts import Arg

BATCH: Final = 500
"""Commands in a round trip, and keys or members that a step of a scan asks for."""
Command = Sequence[Arg]


def text_of(data: bytes) -> str:
    """Read a name that may be damaged; `_sent` writes the same bytes again."""
    return data.decode(errors="surrogateescape")


def _sent(command: Command) -> Iterator[Arg]:
    name, *arguments = command
    yield name
    for part in arguments:
        yield part.encode(errors="surrogateescape") if isinstance(part, str) else part


class Patient:
    """One partition of one namespace. Every call may raise StoreUnavailable."""

    def __init__(self, client: Redis, namespace: str, partition: str) -> None:
        self._client = client
        self.keys = Keys(namespace, partition)
        self.namespace_tag = namespace_tag(namespace)

    async def ask(self, *command: Arg) -> Any:
        """Run one command."""
        (reply,) = await self.ask_all([command])
        return reply

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, a batch of them in each round trip."""
        replies: list[Any] = []
        for start in range(0, len(commands), BATCH):
            replies += await self._run(commands[start : start + BATCH], at_once=False)
        return replies

    async def at_once(self, commands: Sequence[Command]) -> list[Any]:
        """Run a few commands with nothing between them, so that their replies are of one moment."""
        return await self._run(commands, at_once=True)

    async def _run(self, commands: Sequence[Command], *, at_once: bool) -> list[Any]:
        try:
            async with self._client.pipeline(transaction=at_once) as pipeline:
                for command in commands:
                    pipeline.execute_command(*_sent(command))
                replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as failure:
            raise explain(failure) from failure
        read = [or_empty(str(command[0]), reply) for command, reply in zip(commands, replies, strict=True)]
        failed = next((reply for reply in read if isinstance(reply, Exception)), None)
        if failed is not None:
            raise explain(failed) from failed
        return read

    async def write_unless_changed(
        self, read: Sequence[Command], seen: Sequence[Any], writes: Sequence[Command]
    ) -> bool:
        """Write if the reads still give what was seen, at the moment of writing; else leave all as it is."""
        try:
            async with self._client.pipeline(transaction=True) as pipeline:
                await pipeline.watch(*(str(command[1]).encode(errors="surrogateescape") for command in read))
                for command, expected in zip(read, seen, strict=True):
                    if await pipeline.execute_command(*_sent(command)) != expected:
                        return False
                pipeline.multi()  # type: ignore[no-untyped-call]  # redis-py has no types for it
                for command in writes:
                    pipeline.execute_command(*_sent(command))
                await pipeline.execute()
        except WatchError:
            return False
        except (RedisError, OSError, TimeoutError) as failure:
            raise explain(failure) from failure
        return True

    async def names(self, cap: int) -> tuple[list[str], bool]:
        """Give the names of the partition's keys without their tag, and whether all of the store was looked through.

        At most about `cap` keys of the store are looked at, whoever they belong to.
        """
        prefix, names = f"{self.keys.tag}:", set()
        cursor, seen = 0, 0
        while seen < cap:
            cursor, found = await self.ask("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", BATCH)
            names |= {text_of(key).removeprefix(prefix) for key in found}
            seen += BATCH
            if (cursor := int(cursor)) == 0:
                return sorted(names), True
        return sorted(names), False

    async def members(self, name: str, kind: str) -> AsyncIterator[str]:
        """Give the members of an index, in steps; one may come twice."""
        cursor = 0
        while True:
            cursor, found = await self.ask(
                "SSCAN" if kind == "set" else "ZSCAN", self.keys(name), cursor, "COUNT", BATCH
            )
            cursor = int(cursor)
            for member in found:
                yield text_of(member[0] if isinstance(member, list | tuple) else member)
            if cursor == 0:
                return
