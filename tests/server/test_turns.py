"""A large body or a great many items do not hold up the event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from emp_server.turns import LARGE, SECONDS_PER_TURN, apart, in_turns

pytestmark = pytest.mark.anyio


def thread_of(_body):
    return threading.get_ident()


@pytest.mark.parametrize(("size", "is_here"), [(LARGE, True), (LARGE + 1, False)])
async def test_only_a_large_body_is_read_in_a_thread(size, is_here):
    reader = await apart(thread_of, b" " * size)

    assert (reader == threading.get_ident()) is is_here


async def test_large_bodies_are_read_one_at_a_time():
    at_once = most = 0

    def read(_body):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1

    await asyncio.gather(*(apart(read, b" " * (LARGE + 1)) for _ in range(4)))

    assert most == 1


async def test_others_have_their_turn_while_many_items_are_read():
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def read(item):
        deadline = time.perf_counter() + SECONDS_PER_TURN / 10
        while time.perf_counter() < deadline:
            pass
        return item

    items = [b"%d" % at for at in range(50)]
    waiting = asyncio.create_task(others())

    assert await in_turns(read, items) == items

    assert turns >= 4
    waiting.cancel()
