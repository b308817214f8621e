"""How an attempt in a child process is made to end, and what is known of one that took its process down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from emp_worker.error_json import describe
from emp_worker.failures import ChildDied, RaisedInChild
from emp_worker.patience import OVERDUE, Patience
from support.attempts import KeptReports, a_context
from support.processes import is_alive
from support.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SHORT = Patience(terminate=0.3, kill=0.6)


class Running:
    """An attempt under way that can be told to end."""

    def __init__(self, bench, name: str, payload: bytes = b"{}") -> None:
        self.kept = KeptReports()
        self.context = a_context(self.kept)
        self.task = asyncio.create_task(bench.run(name, payload, self.context))

    async def pids(self) -> list[int]:
        """Wait until the handler has said its process ids."""

        async def said() -> str | None:
            return next((message for _, message in self.kept.progresses if message), None)

        return [int(word) if word.isdigit() else 0 for word in (await wait_until_async(said) or "").split()]

    async def end(self, patience: Patience, *, handed_over: bool = False) -> float:
        """Tell it to end, wait for that, and give how long it took."""
        told_at = time.monotonic()
        self.context.request_cancel(patience, handed_over=handed_over)
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task
        return time.monotonic() - told_at


@pytest.mark.parametrize("name", ["polite", "polite_in_thread"])
async def test_a_handler_that_listens_ends_at_once_and_its_child_stays(children, name: str):
    async with children() as bench:
        before = int(await bench.run("who_in_thread"))
        running = Running(bench, name)
        await running.pids()
        took = await running.end(Patience(terminate=20, kill=30))
        after = int(await bench.run("who_in_thread"))

    assert took < 1.0
    assert after == before
    if name == "polite":
        assert running.kept.progresses[-1] == (0.9, "cleaned up")


async def test_a_handler_hears_that_its_job_goes_on(children):
    async with children() as bench:
        running = Running(bench, "polite")
        await running.pids()
        await running.end(Patience(terminate=20, kill=30), handed_over=True)

    assert running.kept.progresses[-1] == (0.9, "handed over")


async def test_a_handler_that_ignores_everything_is_killed_with_its_subprocesses(children):
    async with children() as bench:
        running = Running(bench, "stubborn")
        child, helper = await running.pids()
        took = await running.end(SHORT)

        wait_until(lambda: not is_alive(helper))
        assert not is_alive(child)
        assert SHORT.kill <= took < SHORT.kill + 1.0
        assert int(await bench.run("who_in_thread")) != child


async def test_subprocesses_of_a_handler_that_is_ended_end_too(children):
    async with children() as bench:
        running = Running(bench, "leaves_processes", b'{"text": "stay"}')
        _, *others = await running.pids()
        await running.end(SHORT)

        wait_until(lambda: not any(is_alive(each) for each in others))


async def test_an_endless_loop_in_c_is_dead_within_a_second_of_its_time(children):
    async with children() as bench:
        running = Running(bench, "hopeless")
        (child,) = await running.pids()
        took = await running.end(OVERDUE)

        assert took < 1.0
        assert not is_alive(child)


async def test_an_attempt_that_is_called_off_on_its_way_ends(children):
    async with children() as bench:
        await bench.run("who_in_thread")
        running = Running(bench, "polite")
        await asyncio.sleep(0)  # sent, and not yet begun
        took = await running.end(Patience(terminate=20, kill=30))

    assert took < 1.0


async def test_a_neighbour_is_untouched(children):
    async with children() as bench:
        neighbour = Running(bench, "polite_in_thread")
        await neighbour.pids()
        with pytest.raises(ChildDied):
            await bench.run("exits")
        alive = not neighbour.task.done()
        await neighbour.end(SHORT)

    assert alive


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("exits", r"ended with exit code 7 after [\d,]+ MiB"),
        ("segfaults", r"was killed by SIGSEGV after [\d,]+ MiB"),
        ("killed", r"was killed by SIGKILL after [\d,]+ MiB"),
        ("speaks_nonsense", r"was killed by SIGKILL"),
        ("quarrels", r"(was killed by SIGKILL|ended with exit code 1)"),
    ],
)
async def test_a_child_that_dies_fails_its_attempt_and_says_how(children, name: str, how: str):
    async with children() as bench:
        with pytest.raises(ChildDied, match=how):
            await bench.run(name)

        assert int(await bench.run("who_in_thread")) > 0


async def test_a_death_tells_the_peak_of_memory_and_the_last_words(children):
    with pytest.raises(ChildDied) as died:
        async with children() as bench:
            await bench.run("killed", b'{"size": 300000000}')

    told = describe(died.value)
    peak = int(told["message"].rpartition(" after ")[2].split()[0].replace(",", ""))
    assert 300_000_000 / 1024**2 < peak < 1000
    assert told["output"][-1] == "last words"


async def test_a_crash_tells_where_it_was_and_what_was_logged(children):
    async with children() as bench:
        with pytest.raises(ChildDied) as died:
            await bench.run("segfaults")

    output = describe(died.value)["output"]
    assert "about to read address 0" in output
    assert any("Segmentation fault" in line for line in output)


async def test_a_child_that_is_killed_under_its_handler_fails_that_attempt(children):
    async with children() as bench:
        running = Running(bench, "hopeless")
        (child,) = await running.pids()
        os.kill(child, signal.SIGTERM)

        with pytest.raises(ChildDied, match="SIGTERM"):
            await running.task


async def test_a_memory_hog_meets_its_limit_and_says_so(children):
    async with children() as bench:
        with pytest.raises(RaisedInChild) as met:
            await bench.run("hogs", b'{"size": 1000000000}')
        modest = json.loads(await bench.run("hogs", b'{"size": 1000000}'))

    told = describe(met.value)
    assert told["kind"] == "MemoryLimitMet"
    assert told["message"].startswith("the attempt met its memory_limit of 256 MiB; it held ")
    assert "in hogs" in told["traceback"]
    assert modest == 1_000_000


async def test_a_memory_limit_holds_for_its_type_only(children):
    async with children() as bench:
        await bench.run("hogs", b'{"size": 1000}')

        assert len(await bench.run("leaks", b'{"size": 500000000}')) > 0


async def test_the_worker_stays_responsive_while_a_child_holds_its_own_interpreter(children):
    async with children() as bench:
        running = Running(bench, "hopeless")
        await running.pids()
        began_at = time.monotonic()
        await asyncio.sleep(0)
        took = time.monotonic() - began_at
        await running.end(OVERDUE)

    assert took < 0.1
