"""A background loop of the server that fails is not lost: it is logged, and begun again."""

from __future__ import annotations

import pytest
import structlog

from emp_core.janitor import Janitor
from emp_server import lasting as lasting_module
from emp_server.lasting import lasting
from emp_server.updates import Signal, Updates
from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import register, running, submit

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(lasting_module, "PAUSE", 0.0)


class Stumbling:
    """A loop that fails at first."""

    def __init__(self, failures):
        self.failures = failures
        self.runs = 0

    async def __call__(self, *_):
        self.runs += 1
        if self.runs <= self.failures:
            raise KeyError("nobody thought of this")


async def test_a_loop_that_fails_is_logged_and_begun_again_until_it_ends_by_itself():
    loop = Stumbling(failures=2)

    with structlog.testing.capture_logs() as logged:
        await lasting("stumbling", loop)

    assert loop.runs == 3
    assert [(line["event"], line["loop"], line["log_level"]) for line in logged] == [
        ("loop_failed", "stumbling", "error")
    ] * 2


async def test_the_updates_are_followed_on_after_an_unforeseen_error(store):
    heard = []

    def on_worker(message):
        heard.append(message.status)
        if len(heard) == 1:
            raise KeyError("nobody thought of this")

    updates = Updates(store.feed, 10, on_worker)
    async with updates.running():
        with updates.listen() as listener:
            assert await listener.next(5) is Signal.MISSED
            await register(store)
            assert await listener.next(5) is Signal.MISSED
            hand = await register(store)

            message = await listener.next(5)

    assert message.worker_id == hand.worker_id


async def test_a_server_goes_on_sweeping_after_an_unforeseen_error(settings, store, monkeypatch):
    sweep = Janitor.step
    stumbling = Stumbling(failures=1)

    async def step(janitor):
        await stumbling()
        await sweep(janitor)

    monkeypatch.setattr(Janitor, "step", step)
    with running(settings) as server:
        async with asking(server.url) as client:
            job_id = await submit(client, delay=0.2)

            await wait_until_async(lambda: _is_pending(client, job_id))


async def _is_pending(client, job_id):
    return (await client.get(f"/v1/jobs/{job_id}")).json()["state"] == "pending"
