"""Share round trips: calls of one event-loop tick go out together, and items of one verb share a script call.

Round trips are what job systems pay for: one pipeline of a hundred calls costs about as much as three single calls.

A store that does not answer must not make its callers stand in line for one another's time limits: when a round trip
times out, whatever waits for the next one is told at once that it was not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline as RedisPipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from emp_core.errors import StoreError, StoreUnavailable
from emp_core.store.connection import CALL_TIMEOUT, closed_transport_is_lost_connection
from emp_core.store.refusals import explain, was_sent
from emp_core.store.scripts import Arg, Scripts

ITEMS_PER_CALL = 200
BYTES_PER_CALL = 8 * 1024 * 1024
SCRIPT_LOADS = 3
"""Times that a round trip loads the scripts: another process may flush them again in between."""
LONGEST_TRIP = 2 * CALL_TIMEOUT
"""Seconds that a round trip may take as a whole: each answer in it may come just in time."""
LONGEST_STAY = 5.0
"""Seconds that a call waits for its round trip while a slow store works off what came before."""
WAITING_CALLS = 100_000
WAITING_BYTES = 256 * 1024 * 1024
CONFIRM_WITHIN: Final = 1.0
"""Seconds that a replica may take to confirm a submission."""

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


@dataclass(slots=True)
class _Call:
    """A command that waits for its round trip, since when (the event loop's seconds), and who waits for its reply."""

    command: Sequence[Arg]
    size: int
    since: float
    future: asyncio.Future[Any]


class Pipeline:
    """Sends the commands of one event-loop tick in one round trip; one round trip is under way at a time.

    Every command sent here may run twice: after a lost connection the whole pipeline is sent once more, since scripts
    are idempotent and the rest are reads. A call that timed out is not repeated; its caller hears that it may have run.

    Args:
        client: its connections.
        scripts: loaded into the store when it does not know them.
        replicated: give a reply only when a replica has what was written.
    """

    def __init__(self, client: Redis, scripts: Scripts, *, replicated: bool = False) -> None:
        self._client = client
        self._scripts = scripts
        self._replicated = replicated
        self._waiting: list[_Call] = []
        self._bytes = 0
        self._sender: asyncio.Task[None] | None = None

    def send(self, command: Sequence[Arg]) -> asyncio.Future[Any]:
        """Put a command into the next round trip; the future has its reply or an error of our tree."""
        command = encoded(command)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        size = weight(command)
        if self._waiting and (len(self._waiting) >= WAITING_CALLS or self._bytes + size > WAITING_BYTES):
            future.set_exception(StoreUnavailable("too many calls wait for the store; this one was not sent"))
            return future
        self._waiting.append(_Call(command, size, loop.time(), future))
        self._bytes += size
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting())
        return future

    async def _send_waiting(self) -> None:
        # The calls of one asyncio.gather() arrive over two turns of the loop, where one of them gathers in turn.
        await asyncio.sleep(0)
        while run := self._take():
            if not await self._round_trip(run):
                self._refuse(self._waiting, "the store does not answer; this call was not sent")

    def _take(self) -> Sequence[_Call]:
        """Take what goes out next, without those whose callers have gone or that have waited for too long."""
        too_long_ago = asyncio.get_running_loop().time() - LONGEST_STAY
        self._refuse(
            [call for call in self._waiting if call.since < too_long_ago],
            "the store is too slow for what is asked of it; this call was not sent",
        )
        self._waiting = [call for call in self._waiting if not call.future.done()]
        run = next(split(self._waiting, lambda call: call.size), ())
        del self._waiting[: len(run)]
        self._bytes = sum(call.size for call in self._waiting)
        return run

    @staticmethod
    def _refuse(calls: Iterable[_Call], why: str) -> None:
        for call in calls:
            if not call.future.done():
                call.future.set_exception(StoreUnavailable(why))

    async def _round_trip(self, run: Sequence[_Call]) -> bool:
        """Send commands and hand out the replies; False if the store did not answer in time."""
        answered = True
        try:
            async with asyncio.timeout(LONGEST_TRIP):
                replies = await self._execute([call.command for call in run])
        except (RedisError, OSError, TimeoutError) as error:
            answered = not isinstance(error, RedisTimeoutError | TimeoutError)
            replies = [error] * len(run)
        for call, reply in zip(run, replies, strict=True):
            if call.future.done():  # its caller has gone
                continue
            if isinstance(reply, Exception):
                call.future.set_exception(explain(reply))
            else:
                call.future.set_result(reply)
        return answered

    async def _execute(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        replies = await self._repeated(commands)
        for _ in range(SCRIPT_LOADS):
            missing = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not missing:
                break
            await self._load_scripts()
            for at, reply in zip(missing, await self._pipeline([commands[at] for at in missing]), strict=True):
                replies[at] = reply
        return replies

    async def _repeated(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """Send commands, and once more if the connection is lost: it may be one from before the store's restart."""
        try:
            return await self._pipeline(commands)
        except RedisTimeoutError:
            raise
        except RedisConnectionError as error:
            # Explained at once: what is raised while it is handled would change what redis-py says of its reason.
            lost = explain(error)
        try:
            return await self._pipeline(commands)
        except (RedisError, OSError, TimeoutError) as again:
            # That nobody listens any more says nothing of the first try, which may have run.
            if isinstance(lost, StoreError) and lost.may_have_run and not was_sent(again):
                return [lost] * len(commands)
            raise

    async def _pipeline(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        if not self._replicated:
            return await _sent(pipeline)
        # WAIT is about the writes of its own connection, so it rides along. It covers a submission that repeats another
        # as well: submit always writes, and a replica that has this write has all before it.
        pipeline.execute_command("WAIT", 1, round(CONFIRM_WITHIN * 1000))
        *replies, replicas = await _sent(pipeline)
        if isinstance(replicas, int) and replicas >= 1:
            return replies
        unsure = StoreUnavailable("it is stored, but no replica has confirmed it in time", may_have_run=True)
        return [reply if isinstance(reply, Exception) else unsure for reply in replies]

    async def _load_scripts(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for script in self._scripts:
            pipeline.execute_command("SCRIPT LOAD", script.text)
        for reply in await _sent(pipeline):
            if isinstance(reply, ResponseError):
                raise reply

    async def close(self) -> None:
        """Wait for the round trip that is under way."""
        if self._sender is not None:
            await asyncio.wait([self._sender])


async def _sent(pipeline: RedisPipeline) -> list[Any]:
    """Send what a pipeline of redis-py holds; errors of single commands stand among the replies."""
    with closed_transport_is_lost_connection():
        return list(await pipeline.execute(raise_on_error=False))


class Gatherer(Generic[T, R]):
    """Joins what many callers hand in during one tick, or during the call before, into one call."""

    def __init__(self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]], weigh: Callable[[T], int]) -> None:
        self._call = call
        self._weigh = weigh
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None

    async def add(self, items: Sequence[T]) -> list[R]:
        """Hand items in and wait for their replies, in order.

        Raises:
            StoreUnavailable: what waits already is too much, or the store failed the call before.
        """
        loop = asyncio.get_running_loop()
        size = sum(map(self._weigh, items))
        if self._waiting and (len(self._waiting) >= WAITING_CALLS or self._bytes + size > WAITING_BYTES):
            raise StoreUnavailable("too many submissions wait for the store; this one was not sent")
        futures = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._bytes += size
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return list(await asyncio.gather(*futures))

    async def _run(self) -> None:
        while waiting := self._take():
            outcomes: Sequence[R | BaseException]
            try:
                outcomes = await self._call([item for item, _ in waiting])
            except Exception as error:  # noqa: BLE001 - every caller gets it, none is left waiting
                outcomes = [error] * len(waiting)
                if isinstance(error, StoreUnavailable):
                    # They would only stand in line to hear the same.
                    self._refuse(StoreUnavailable(f"{error.detail}; this one was not sent"))
            for (_, future), outcome in zip(waiting, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        """Take what waits, without those whose callers have gone."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return [(item, future) for item, future in waiting if not future.done()]

    def _refuse(self, error: StoreUnavailable) -> None:
        for _, future in self._take():
            future.set_exception(error)
