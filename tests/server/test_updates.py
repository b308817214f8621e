"""Listeners hear what concerns them; one that falls behind is told so instead of being given old news."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, asynccontextmanager

import pytest

from emp_core.ids import JobId, new_job_id
from emp_core.jobs import Submission
from emp_core.messages import JobUpdateMessage
from emp_core.store import open_store
from emp_server.updates import Listener, Signal, Updates

from .conftest import ANYTHING, Hand, register

pytestmark = pytest.mark.anyio


def update(progress=0.0):
    return JobUpdateMessage(timestamp=0, job_id="j", status="in_progress", progress=progress, message="")


async def test_a_listener_hears_updates_in_order():
    listener = Listener(10)
    listener.hear(update(0.1))
    listener.hear(update(0.2))

    assert [(await listener.next(1)).progress for _ in range(2)] == [0.1, 0.2]


async def test_a_listener_that_hears_nothing_is_told_so_in_time():
    started = time.monotonic()

    assert await Listener(10).next(0.05) is Signal.SILENT
    assert time.monotonic() - started < 2


async def test_a_listener_that_falls_behind_is_told_once_that_it_missed_something():
    listener = Listener(2)
    for _ in range(5):
        listener.hear(update())

    heard = [await listener.next(0.01) for _ in range(4)]

    assert heard[0] is Signal.MISSED
    assert Signal.MISSED not in heard[1:]


async def test_a_stop_ends_a_wait_at_once_and_for_ever():
    listener = Listener(2)
    waiting = asyncio.create_task(listener.next(60))
    await asyncio.sleep(0)
    listener.stop()

    assert await waiting is Signal.STOPPED
    assert await listener.next(60) is Signal.STOPPED


@asynccontextmanager
async def followed(settings):
    async with open_store(settings.redis_url, settings.namespace) as store:
        await store.types.announce([ANYTHING])
        updates = Updates(store.feed, 10, lambda _: None)
        async with updates.running():
            with updates.listen() as opening:
                assert await opening.next(5) is Signal.MISSED
            yield store, updates


async def heard_by(listener):
    message = await listener.next(5)
    assert isinstance(message, JobUpdateMessage)
    return message.job_id


async def test_a_listener_of_one_job_hears_nothing_of_another(settings):
    async with followed(settings) as (store, updates):
        hand: Hand = await register(store)
        first, second = await submitted(store), await submitted(store)
        with updates.listen(second) as listener:
            for _ in range(2):
                await hand.claim("any.thing")

            assert {await heard_by(listener)} == {second}
        assert first != second


@pytest.mark.parametrize("change", ["job", "worker"])
async def test_who_listens_for_any_change_hears_that_there_was_one(settings, change):
    """An open page of the monitor is fetched again anyway: nothing is read or kept for it."""
    async with followed(settings) as (store, updates):
        with updates.listen_for_any() as listener:
            await (submitted(store) if change == "job" else register(store))

            assert await listener.next(5) is Signal.MISSED
        assert updates.listeners == 0


async def test_where_many_wait_each_looks_for_lost_messages_less_often(settings):
    """All together ask the store no more than so often."""
    async with followed(settings) as (_, updates):
        with ExitStack() as waiting:
            few = updates.safety_read
            for number in range(20 * Updates.SAFETY_READS_A_SECOND):
                waiting.enter_context(updates.listen(JobId(f"job{number}")))

            assert (few, updates.safety_read) == (Updates.SAFETY_READ, 20.0)


async def test_who_listens_after_the_stop_is_stopped_too(settings):
    async with followed(settings) as (_, updates):
        updates.stop()

        with updates.listen(JobId("j")) as listener:
            assert await listener.next(60) is Signal.STOPPED


async def submitted(store):
    [answer] = await store.jobs.submit([Submission(new_job_id(), "any.thing", b"1")])
    return answer.job_id
