"""The heartbeat keeps the lease whatever the loop does, and says what it hears."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from emp_core.store import Renewed
from emp_worker.heartbeat import Heartbeat, LoopLag
from emp_worker.lease import Lease
from support.waiting import wait_until, wait_until_async

from .conftest import Bench

pytestmark = pytest.mark.anyio


def block_loop(seconds: float) -> None:
    """Hold the event loop up, as a handler does that must not."""
    deadline = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > deadline)


@dataclass
class Heard:
    """Keeps what the heartbeat tells."""

    given: list[Lease] = field(default_factory=list)
    renewed: list[Renewed] = field(default_factory=list)

    def lease_given(self, lease: Lease) -> None:
        self.given.append(lease)

    def lease_renewed(self, lease: Lease, renewed: Renewed) -> None:
        self.renewed.append(renewed)


async def test_a_blocked_loop_costs_no_lease(bench: Bench) -> None:
    """The loop stands still, the renewals go on."""
    heard = Heard()
    heartbeat = Heartbeat(bench.url, bench.namespace, {"name": "x"}, [], heard)
    heartbeat.start()

    wait_until(lambda: heard.given)  # this blocks the event loop from here on
    heartbeat.poke()
    wait_until(lambda: heard.renewed)
    await heartbeat.stop("done")

    assert await bench.store.workers.list() == []
    assert [gone.reason for gone in await bench.store.workers.gone()] == ["done"]


async def test_a_lost_lease_is_followed_by_a_new_id(bench: Bench) -> None:
    """An id that was lost once stays lost."""
    heard = Heard()
    heartbeat = Heartbeat(bench.url, bench.namespace, {}, [], heard)
    heartbeat.start()
    await asyncio.to_thread(wait_until, lambda: heard.given)
    await bench.store.workers.leave(heard.given[0].worker_id, "taken")

    heartbeat.poke()
    await asyncio.to_thread(wait_until, lambda: len(heard.given) == 2)
    await heartbeat.stop("done")

    assert heard.given[0].worker_id != heard.given[1].worker_id


async def test_loop_lag_is_measured(bench: Bench) -> None:
    """How late the loop was shows in the worker's record."""
    heard = Heard()
    heartbeat = Heartbeat(bench.url, bench.namespace, {}, [], heard)
    heartbeat.start()
    wait_until(lambda: heard.given)
    for count in (1, 2):
        heartbeat.poke()
        wait_until(lambda: len(heard.renewed) >= count)  # noqa: B023 - called before count changes
        block_loop(0.3)
    (info,) = await wait_until_async(bench.store.workers.list)
    await heartbeat.stop("done")

    assert info.loop_lag > 0.2


async def test_an_unanswered_question_counts_as_lag() -> None:
    """A loop that does not answer at all is not reported as punctual."""
    lag = LoopLag(asyncio.get_running_loop())

    lag.measure()
    block_loop(0.1)

    assert lag.measure() >= 0.1
