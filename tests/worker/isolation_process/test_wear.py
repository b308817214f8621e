"""When a child is replaced, and that nothing of it outlives its worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta

import pytest

from support.processes import is_alive
from support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def test_a_child_is_replaced_after_so_many_jobs(children):
    async with children(jobs=2) as bench:
        pids = [int(await bench.run("who_in_thread")) for _ in range(4)]

    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_a_child_is_replaced_at_its_age(children):
    async with children(age=timedelta(0)) as bench:
        pids = {int(await bench.run("who_in_thread")) for _ in range(2)}

    assert len(pids) == 2


async def test_a_child_that_has_grown_is_replaced(children):
    async with children(growth=100_000_000) as bench:
        first = int(await bench.run("leaks", b'{"size": 1000}'))
        second = int(await bench.run("leaks", b'{"size": 200000000}'))
        third = int(await bench.run("leaks", b'{"size": 1000}'))

    assert first == second != third


async def test_what_a_type_takes_when_it_is_new_is_no_growth(children):
    async with children(growth=100_000_000) as bench:
        first = int(await bench.run("who_in_thread"))
        second = int(await bench.run("leaks", b'{"size": 200000000}'))
        third = int(await bench.run("who_in_thread"))

    assert first == second == third


async def test_a_retired_child_exits_its_lifespans(children, monkeypatch, tmp_path):
    mark = tmp_path / "mark"
    monkeypatch.setenv("HOSTILE_MARK", str(mark))

    async with children(jobs=1) as bench:
        await bench.run("who")
        await asyncio.to_thread(wait_until, mark.exists)

    assert mark.read_text() == "exited with its helper"


WORKER = """
import asyncio, json, sys
sys.path[:] = json.loads(sys.argv[1])
from datetime import timedelta
from emp_worker.isolation import Runners
from emp_worker.isolation.frames import Start
from emp_worker.isolation.process import Bounds, Children, Wear
from emp_worker.plugins import load_plugins
from support.attempts import a_context

class Said:
    def progress(self, fraction, message):
        print("running", message, flush=True)
    def log(self, line):
        pass

async def main():
    only = ("emp-test-hostile",)
    types = load_plugins(only=only).types
    start = Start(tuple(sys.path), only, (), {}, "info")
    children = Children(start, lambda _: only, Wear(10, timedelta(hours=1), 2**30), Bounds(1, 1))
    async with Runners(1, None, children) as runners:
        await runners.run(types["hostile." + sys.argv[2]].job_type, b'{"text": "stay"}', a_context(Said()))

asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["stubborn", "hopeless", "leaves_processes"])
async def test_nothing_outlives_a_worker_that_is_killed(types, start_process, name: str):
    """Not a handler that ignores SIGTERM, nor one that holds the interpreter, nor a grandchild, nor the guard."""
    process = start_process([sys.executable, "-c", WORKER, json.dumps(sys.path), name])
    pids = [int(word) for word in process.wait_for(r"^running (.+)$").group(1).split()]
    group = os.getpgid(pids[0])

    process.send(signal.SIGKILL)

    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    wait_until(lambda: not [pid for pid in process.left_running() if os.getpgid(pid) == group])
    wait_until(lambda: not any("guard" in line for line in process.left_running().values()))
