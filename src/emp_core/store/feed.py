"""Follow what happens in the store: the messages that the scripts publish, for observers.

A message may be missed, so a follower that was cut off is given GAP when it is back: then it reads the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from emp_core.messages import JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage, parse_message
from emp_core.outage import Outage
from emp_core.store.connection import closed_transport_is_lost_connection
from emp_core.store.keys import Keys
from emp_core.store.refusals import explain

RECONNECT_FIRST = 0.05
RECONNECT_LAST = 2.0
SILENCE = 5.0
"""Seconds without a message after which the store is asked whether it is still there."""

_OF_A_JOB: Final = b'{"job_id":"'
"""How the scripts begin a message about a job, so that its id is found without reading it."""

_log = structlog.get_logger()


class Gap(Enum):
    """What a follower is given where messages may be missing."""

    GAP = "gap"


GAP = Gap.GAP


class Passed(Enum):
    """What a follower is given after a publication of which some was passed over unread."""

    PASSED = "passed"


PASSED = Passed.PASSED

Event = JobAvailableMessage | JobUpdateMessage | WorkerStatusMessage | Gap | Passed


class Feed:
    """The publications of one partition. One subscription serves any number of listeners in a process."""

    def __init__(self, connect: Callable[[], Redis], keys: Keys) -> None:
        self._connect = connect
        self._keys = keys

    @asynccontextmanager
    async def subscribe(
        self,
        *,
        jobs: bool = True,
        workers: bool = True,
        available: bool = False,
        concerns: Callable[[str], bool] | None = None,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Subscribe, and give the events as they come; the first one is GAP, when the subscription stands.

        A lost connection never ends the iteration: it is made anew for as long as it takes. With `concerns`, what is
        about a job for whose id it says no is passed over unread: most of what happens concerns nobody here. PASSED
        says, once for each publication, that there was something.
        """
        wanted = {"updates": jobs, "workers": workers, "available": available}
        channels = [self._keys.channel(name) for name, is_wanted in wanted.items() if is_wanted]
        client = self._connect()
        events = self._events(client, channels, concerns)
        try:
            yield events
        finally:
            await events.aclose()
            await client.aclose()

    async def _events(
        self, client: Redis, channels: list[str], concerns: Callable[[str], bool] | None
    ) -> AsyncGenerator[Event]:
        pause, outage = RECONNECT_FIRST, Outage(_log, "feed_lost")
        while True:
            try:
                async with client.pubsub() as subscription:
                    with closed_transport_is_lost_connection():
                        await subscription.subscribe(*channels)
                    async for event in _read(subscription, len(channels), concerns):
                        pause = RECONNECT_FIRST
                        outage.over()
                        yield event
            except (RedisError, OSError, TimeoutError) as error:
                outage.failed(explain(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_LAST)


async def _read(subscription: PubSub, channels: int, concerns: Callable[[str], bool] | None) -> AsyncIterator[Event]:
    """Give a subscription's events; one more subscribe event than channels means that redis-py reconnected."""
    confirmed = 0
    is_asked = False
    while True:
        with closed_transport_is_lost_connection():
            received = await subscription.get_message(timeout=SILENCE)
        if received is None:
            # Half a connection looks like a quiet store: only an answer tells them apart.
            if is_asked:
                raise TimeoutError("the store does not answer on the feed's connection")
            is_asked = True
            with closed_transport_is_lost_connection():
                await subscription.ping()
            continue
        is_asked = False
        if received["type"] == "subscribe":
            confirmed += 1
            if confirmed >= channels:
                yield GAP
        elif received["type"] == "message":
            has_passed = False
            for line in received["data"].splitlines():
                if concerns is not None and line.startswith(_OF_A_JOB) and not concerns(_id_of(line)):
                    has_passed = True
                    continue
                try:
                    yield parse_message(line)
                except ValidationError as error:
                    # Not the error's own text: it quotes the message, and with it a payload.
                    _log.warning("message_not_read", faults=[fault["type"] for fault in error.errors()])
            if has_passed:
                yield PASSED


def _id_of(line: bytes) -> str:
    """Give the id with which a message about a job begins."""
    return line[len(_OF_A_JOB) : line.find(b'"', len(_OF_A_JOB))].decode(errors="replace")
