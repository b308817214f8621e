"""The heartbeat keeps the lease whatever the loop does, and says what it hears."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from emp_core.jobs import Announcement
from emp_core.store import Renewed
from emp_core.store.connection import connect
from emp_core.store.keys import namespace_tag
from emp_worker import heartbeat as heartbeat_module
from emp_worker.heartbeat import Condition, Heartbeat
from emp_worker.lease import Lease
from support.waiting import wait_until, wait_until_async

from .conftest import Bench

pytestmark = pytest.mark.anyio

ECHO = Announcement("text.echo", "d1", "emp-plugin-echo", "1.0")
OTHER = Announcement("text.other", "d2", "emp-plugin-other", "1.0")


@dataclass
class Heard:
    """Keeps what the heartbeat tells."""

    given: list[Lease] = field(default_factory=list)
    renewed: list[Renewed] = field(default_factory=list)
    beats: int = 0

    def beat(self) -> None:
        self.beats += 1

    def condition(self) -> Condition:
        return Condition(loop_lag=0.3)

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


async def test_a_renewal_says_how_the_worker_does(bench: Bench) -> None:
    """How late the loop was shows in the worker's record."""
    heard = Heard()
    heartbeat = Heartbeat(bench.url, bench.namespace, {}, [], heard)
    heartbeat.start()
    wait_until(lambda: heard.given)

    heartbeat.poke()
    wait_until(lambda: heard.renewed)
    (info,) = await bench.store.workers.list()
    await heartbeat.stop("done")

    assert info.loop_lag == 0.3


async def test_it_beats_whatever_the_store_does(bench: Bench) -> None:
    """Without a store there is no lease, but the thread lives."""
    heard = Heard()
    heartbeat = Heartbeat("redis://127.0.0.1:1", bench.namespace, {}, [], heard)
    heartbeat.start()

    wait_until(lambda: heard.beats >= 3)
    await heartbeat.stop("done")

    assert heard.given == []


async def test_types_that_cannot_be_announced_cost_no_lease(bench: Bench) -> None:
    """Where the store refuses the announcement, the worker registers once, renews and works."""
    heard = Heard()
    async with connect(bench.url) as client:
        rules = ("on", ">sesame", "~*", "&*", "+@all", "-hgetall")
        await client.execute_command("ACL", "SETUSER", bench.namespace, *rules)
        url = bench.url.replace("://", f"://{bench.namespace}:sesame@", 1)
        heartbeat = Heartbeat(url, bench.namespace, {}, [ECHO], heard)
        heartbeat.start()

        await asyncio.to_thread(wait_until, lambda: heard.given)
        heartbeat.poke()
        await asyncio.to_thread(wait_until, lambda: heard.renewed)
        workers = await bench.store.workers.list()
        await heartbeat.stop("done")
        await client.execute_command("ACL", "DELUSER", bench.namespace)

    assert await bench.store.types.announced() == []
    assert [worker.worker_id for worker in workers] == [lease.worker_id for lease in heard.given]


@pytest.mark.parametrize("how", ["gone", "cut off", "another type", "one of them gone"])
async def test_types_that_the_store_has_lost_are_announced_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The heartbeat looks for them with a renewal, well within a lease."""
    assert heartbeat_module.LOOK_EVERY < 15
    monkeypatch.setattr(heartbeat_module, "LOOK_EVERY", 0.0)
    heard = Heard()
    heartbeat = Heartbeat(bench.url, bench.namespace, {}, [ECHO, OTHER], heard)
    heartbeat.start()
    key = f"{namespace_tag(bench.namespace)}:types"

    async def are_known() -> bool:
        return {known.job_type for known in await bench.store.types.announced()} == {ECHO.job_type, OTHER.job_type}

    await wait_until_async(are_known)
    async with connect(bench.url) as client:
        match how:
            case "gone":
                await client.delete(key)
            case "cut off":
                await client.hset(key, "text.echo|d1", "1700000000000 {")
            case "another type":
                await client.set(key, "x")
            case "one of them gone":
                await client.hdel(key, "text.echo|d1")
    assert not await are_known()
    heartbeat.poke()
    await wait_until_async(are_known)
    await heartbeat.stop("done")
