"""A large body or a great many items do not hold up the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from emp_server.turns import ITEMS_PER_TURN, LARGE, apart, in_turns

pytestmark = pytest.mark.anyio


def thread_of(_body):
    return threading.get_ident()


@pytest.mark.parametrize(("size", "is_here"), [(LARGE, True), (LARGE + 1, False)])
async def test_only_a_large_body_is_read_in_a_thread(size, is_here):
    reader = await apart(thread_of, b" " * size)

    assert (reader == threading.get_ident()) is is_here


async def test_others_have_their_turn_while_many_items_are_read():
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def read(item):
        return item

    items = [b"%d" % at for at in range(4 * ITEMS_PER_TURN)]
    waiting = asyncio.create_task(others())

    assert await in_turns(read, items) == items

    assert turns >= 4
    waiting.cancel()
