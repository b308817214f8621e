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

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from emp_core.errors import StoreError, StoreUnavailable
from emp_core.store.connection import CALL_TIMEOUT
from emp_core.store.line import Line
from emp_core.store.refusals import explain, or_empty, was_sent
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

_TEXT: Final = (str, bytes)
"""A tuple, since `str | bytes` would be made anew for each part of each command."""

T = TypeVar("T")
R = TypeVar("R")


def weight(command: Sequence[Arg]) -> int:
    """Give about how many bytes a command or an item sends."""
    return sum([len(part) if isinstance(part, _TEXT) else 8 for part in command])


def packed(command: Sequence[Arg]) -> bytes:
    """Write a command as it is sent.

    Raises:
        UnicodeEncodeError: a text has no UTF-8 form (a lone surrogate).
    """
    return hiredis.pack_command(tuple(command))  # type: ignore[arg-type, no-any-return]  # its stub knows tuples of one only


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
    """A command that waits for its round trip, since when (the event loop's seconds), and who waits for its reply.

    `packed` is the command as it is sent; `sent` is called when it has been, and is not called for one that is not.
    """

    packed: bytes
    since: float
    future: asyncio.Future[Any]
    sent: Callable[[], None] | None = None

    @property
    def command(self) -> str:
        """The name of the command."""
        return self.packed.split(b"\r\n", 3)[2].decode()


class Pipeline:
    """Sends the commands of one event-loop tick in one round trip; one round trip is under way at a time.

    Every command sent here may run twice: after a lost connection the whole pipeline is sent once more, since scripts
    are idempotent and the rest are reads. A call that timed out is not repeated; its caller hears that it may have run.

    Args:
        client: gives it a connection, which it keeps.
        scripts: loaded into the store when it does not know them.
        replicated: give a reply only when a replica has what was written.
    """

    def __init__(self, client: Redis, scripts: Scripts, *, replicated: bool = False) -> None:
        self._line = Line(client)
        self._scripts = scripts
        self._replicated = replicated
        self._waiting: list[_Call] = []
        self._bytes = 0
        self._sender: asyncio.Task[None] | None = None

    def send(self, command: Sequence[Arg]) -> asyncio.Future[Any]:
        """Put a command into the next round trip; the future has its reply or an error of our tree.

        Raises:
            UnicodeEncodeError: a text has no UTF-8 form (a lone surrogate). Raised here, it concerns its caller alone;
                in the shared round trip it would take everybody's.
        """
        written = packed(command)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        size = len(written)
        if self._waiting and (len(self._waiting) >= WAITING_CALLS or self._bytes + size > WAITING_BYTES):
            future.set_exception(StoreUnavailable("too many calls wait for the store; this one was not sent"))
            return future
        self._waiting.append(_Call(written, loop.time(), future))
        self._bytes += size
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_waiting())
        return future

    async def send_alone(self, command: Sequence[Arg], sent: Callable[[], None] | None = None) -> Any:
        """Make a round trip for one command, at once: for what nobody else would share it with, and that is waited for.

        Args:
            command: its name and arguments.
            sent: called when the store has got it, while it works on it.

        Raises:
            StoreError: the store is away or refuses.
            UnicodeEncodeError: a text has no UTF-8 form (a lone surrogate).
        """
        loop = asyncio.get_running_loop()
        call = _Call(packed(command), loop.time(), loop.create_future(), sent)
        await self._round_trip([call])
        return call.future.result()

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
        run = next(split(self._waiting, lambda call: len(call.packed)), ())
        del self._waiting[: len(run)]
        self._bytes = sum(len(call.packed) for call in self._waiting)
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
                replies = await self._execute(run)
        except (RedisError, OSError, TimeoutError) as error:
            answered = not isinstance(error, RedisTimeoutError | TimeoutError)
            replies = [error] * len(run)
        for call, reply in zip(run, replies, strict=True):
            if call.future.done():  # its caller has gone
                continue
            if isinstance(reply, Exception):
                reply = or_empty(call.command, reply)  # noqa: PLW2901 - the same, read another way
            if isinstance(reply, Exception):
                call.future.set_exception(explain(reply))
            else:
                call.future.set_result(reply)
        return answered

    async def _execute(self, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._repeated(calls)
        for _ in range(SCRIPT_LOADS):
            missing = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not missing:
                break
            await self._load_scripts()
            for at, reply in zip(missing, await self._exchange([calls[at] for at in missing]), strict=True):
                replies[at] = reply
        return replies

    async def _repeated(self, calls: Sequence[_Call]) -> list[Any]:
        """Send commands, and once more if the connection is lost: it may be one from before the store's restart."""
        try:
            return await self._exchange(calls)
        except RedisTimeoutError:
            raise
        except RedisConnectionError as error:
            # Explained at once: what is raised while it is handled would change what redis-py says of its reason.
            lost = explain(error)
        try:
            return await self._exchange(calls)
        except (RedisError, OSError, TimeoutError) as again:
            # That nobody listens any more says nothing of the first try, which may have run.
            if isinstance(lost, StoreError) and lost.may_have_run and not was_sent(again):
                return [lost] * len(calls)
            raise

    async def _exchange(self, calls: Sequence[_Call]) -> list[Any]:
        written = [call.packed for call in calls]
        told = [call.sent for call in calls if call.sent]
        if not self._replicated:
            return await self._line.exchange(written, told)
        # WAIT is about the writes of its own connection, so it rides along. It covers a submission that repeats another
        # as well: submit always writes, and a replica that has this write has all before it.
        written.append(packed(("WAIT", 1, round(CONFIRM_WITHIN * 1000))))
        *replies, replicas = await self._line.exchange(written, told)
        if isinstance(replicas, int) and replicas >= 1:
            return replies
        unsure = StoreUnavailable("it is stored, but no replica has confirmed it in time", may_have_run=True)
        return [reply if isinstance(reply, Exception) else unsure for reply in replies]

    async def _load_scripts(self) -> None:
        loads = [packed(("SCRIPT", "LOAD", script.text)) for script in self._scripts]
        for reply in await self._line.exchange(loads):
            if isinstance(reply, ResponseError):
                raise reply

    async def close(self) -> None:
        """Wait for the round trip that is under way, and give the connection back."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._line.close()


@dataclass(slots=True)
class _Handed(Generic[T, R]):
    """What one caller handed in: its items, their size, and the future of their replies."""

    items: Sequence[T]
    size: int
    future: asyncio.Future[Sequence[R]]


class Gatherer(Generic[T, R]):
    """Joins what many callers hand in during one tick, or during the call before, into one call.

    Ticks that follow one another and each bring something count as one: a call costs its process as much as ten items.
    """

    def __init__(self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]], weigh: Callable[[T], int]) -> None:
        self._call = call
        self._weigh = weigh
        self._waiting: list[_Handed[T, R]] = []
        self._count = 0
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None

    def add(self, items: Sequence[T]) -> asyncio.Future[Sequence[R]]:
        """Hand items in; the future has their replies, in order, or StoreUnavailable if the call before has failed.

        Raises:
            StoreUnavailable: what waits already is too much.
        """
        size = sum(map(self._weigh, items))
        if self._waiting and (self._count >= WAITING_CALLS or self._bytes + size > WAITING_BYTES):
            raise StoreUnavailable("too many submissions wait for the store; this one was not sent")
        future: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Handed(items, size, future))
        self._count += len(items)
        self._bytes += size
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        while waiting := await self._gathered():
            try:
                replies = await self._call([item for handed in waiting for item in handed.items])
            except Exception as error:  # noqa: BLE001 - every caller gets it, none is left waiting
                _fail(waiting, error)
                if isinstance(error, StoreUnavailable):
                    # They would only stand in line to hear the same.
                    _fail(self._take(), StoreUnavailable(f"{error.detail}; this one was not sent"))
                continue
            at = 0
            for handed in waiting:
                if not handed.future.done():
                    handed.future.set_result(replies[at : at + len(handed.items)])
                at += len(handed.items)

    async def _gathered(self) -> list[_Handed[T, R]]:
        """Take what waits as soon as a tick has brought nothing more, or it fills a call."""
        before = -1
        while before < self._count < ITEMS_PER_CALL:
            before = self._count
            await asyncio.sleep(0)
        return self._take()

    def _take(self) -> list[_Handed[T, R]]:
        """Take what waits, without what was handed in by callers that have gone."""
        waiting, self._waiting, self._count, self._bytes = self._waiting, [], 0, 0
        return [handed for handed in waiting if not handed.future.done()]


def _fail(waiting: Iterable[_Handed[T, R]], error: Exception) -> None:
    for handed in waiting:
        if not handed.future.done():
            handed.future.set_exception(error)
