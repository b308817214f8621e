"""Share round trips: calls of one event-loop tick go out together, and items of one verb share a script call.

Round trips are what job systems pay for: one pipeline of a hundred calls costs about as much as three single calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from emp_core.store.connection import explain
from emp_core.store.scripts import Arg, Scripts

ITEMS_PER_CALL = 200
BYTES_PER_CALL = 8 * 1024 * 1024
SCRIPT_LOADS = 3
"""Times that a round trip loads the scripts: another process may flush them again in between."""

T = TypeVar("T")
R = TypeVar("R")


def weight(command: Sequence[Arg]) -> int:
    """Give about how many bytes a command or an item sends."""
    return sum(len(part) if isinstance(part, str | bytes) else 8 for part in command)


def encoded(command: Iterable[Arg]) -> list[Arg]:
    """Give a command's or an item's text as bytes.

    Raises:
        UnicodeEncodeError: a text has no UTF-8 form (a lone surrogate). Raised here, it concerns its caller alone; in
            the shared round trip it would take everybody's.
    """
    return [part.encode() if isinstance(part, str) else part for part in command]


def split(items: Sequence[T], weigh: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Cut items into runs of at most 200 and 8 MiB; an item that is larger by itself goes alone."""
    start, total = 0, 0
    for at, item in enumerate(items):
        size = weigh(item)
        if at > start and (at - start >= ITEMS_PER_CALL or total + size > BYTES_PER_CALL):
            yield items[start:at]
            start, total = at, 0
        total += size
    if start < len(items):
        yield items[start:]


class Pipeline:
    """Sends the commands of one event-loop tick in one round trip; one round trip is under way at a time.

    Every command sent here may run twice: after a lost connection the whole pipeline is sent once more, since scripts
    are idempotent and the rest are reads. A call that timed out is not repeated; its caller hears that it may have run.
    """

    def __init__(self, client: Redis, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts
        self._waiting: list[tuple[Sequence[Arg], asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    def send(self, command: Sequence[Arg]) -> asyncio.Future[Any]:
        """Put a command into the next round trip; the future has its reply or an error of our tree."""
        command = encoded(command)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting())
        return future

    async def _send_waiting(self) -> None:
        # The calls of one asyncio.gather() arrive over two turns of the loop, where one of them gathers in turn.
        await asyncio.sleep(0)
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            for run in split(waiting, lambda entry: weight(entry[0])):
                await self._round_trip(run)

    async def _round_trip(self, run: Sequence[tuple[Sequence[Arg], asyncio.Future[Any]]]) -> None:
        try:
            replies = await self._execute([command for command, _ in run])
        except (RedisError, OSError, TimeoutError) as error:
            replies = [error] * len(run)
        for (_, future), reply in zip(run, replies, strict=True):
            if future.done():  # its caller has gone
                continue
            if isinstance(reply, Exception):
                future.set_exception(explain(reply))
            else:
                future.set_result(reply)

    async def _execute(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        try:
            replies = await self._pipeline(commands)
        except RedisTimeoutError:
            raise
        except RedisConnectionError:
            # The pooled connection may be one that the store closed when it restarted.
            replies = await self._pipeline(commands)
        for _ in range(SCRIPT_LOADS):
            missing = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not missing:
                break
            await self._load_scripts()
            for at, reply in zip(missing, await self._pipeline([commands[at] for at in missing]), strict=True):
                replies[at] = reply
        return replies

    async def _pipeline(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))

    async def _load_scripts(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for script in self._scripts:
            pipeline.execute_command("SCRIPT LOAD", script.text)
        for reply in await pipeline.execute(raise_on_error=False):
            if isinstance(reply, ResponseError):
                raise reply

    async def close(self) -> None:
        """Wait for the round trip that is under way."""
        if self._sender is not None:
            await asyncio.wait([self._sender])


class Gatherer(Generic[T, R]):
    """Joins what many callers hand in during one tick, or during the call before, into one call."""

    def __init__(self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._call = call
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def add(self, items: Sequence[T]) -> list[R]:
        """Hand items in and wait for their replies, in order."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return list(await asyncio.gather(*futures))

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            outcomes: Sequence[R | BaseException]
            try:
                outcomes = await self._call([item for item, _ in waiting])
            except Exception as error:  # noqa: BLE001 - every caller gets it, none is left waiting
                outcomes = [error] * len(waiting)
            for (_, future), outcome in zip(waiting, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
