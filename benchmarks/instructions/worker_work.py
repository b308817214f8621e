"""What a worker does for jobs that do nothing, to be run under callgrind: claim, perform and complete them.

Claimer, executor and flusher are those of `emp worker`, under one lease. What it does beside its jobs, the heartbeat
and the janitor, is not there.
"""

from __future__ import annotations

import gc
import json
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Final

from pluggy import HookRelay
from pydantic import BaseModel

from benchmarks.adapters.payloads import payload
from benchmarks.instructions.marks import Marks
from benchmarks.instructions.parts import SIZES
from emp_core import logs
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Submission
from emp_core.store import Store, open_store
from emp_core.store.connection import connect
from emp_core.store.keys import Keys
from emp_core.store.scripts import Scripts
from emp_worker.isolation import Runners
from emp_worker.jobtypes import Isolation, JobType
from emp_worker.lease import Lease, boot_time
from emp_worker.loading import new_manager
from emp_worker.session import Orders, Parts, Session
from emp_worker.settings import WorkerSettings
from emp_worker.slots import Slots
from emp_worker.troubles import Troubles

NAMESPACE: Final = "bench"
JOB_TYPE: Final = "bench.noop"
_PAYLOAD: Final = json.dumps(payload()).encode()


class Noop(BaseModel):
    """Nothing to do."""

    sent: int
    text: str


class Done(BaseModel):
    """Nothing was done."""

    ok: bool


def _nothing() -> None:
    """Stand for a heartbeat that is poked, or for a worker that drains."""


class _Noops:
    """The handler; calls `done` after the last of `expected` jobs."""

    def __init__(self) -> None:
        self.expected = 0
        self.done = _nothing

    async def noop(self, _payload: Noop) -> Done:
        self.expected -= 1
        if not self.expected:
            self.done()
        return Done(ok=True)


async def work(marks: Marks, store: Path) -> None:
    """Count jobs with one slot and with 100: of each, a number of jobs and twice as many."""
    url = f"unix://{store}"
    logs.configure(WorkerSettings(redis_url=url, namespace=NAMESPACE))
    # The store's clock stands still too, so that no lease ends however slow this is.
    scripts = Scripts(shifted_clock=True)
    hooks = new_manager().hook
    async with open_store(url, NAMESPACE, scripts=scripts) as opened, Runners(1, hooks) as runners:
        await _stop_clock(url)
        worker = _Worker(opened, runners, hooks)
        for slots in (1, 100):
            await worker.perform(100, slots, nullcontext())
        gc.collect()
        gc.freeze()
        gc.disable()  # when it runs depends on what else the process has made
        marks.begin()
        for name, slots, number in (("job", 1, 15), ("job_of_100_slots", 100, 200)):
            await worker.perform(slots, slots, nullcontext())
            for times in SIZES:
                await worker.perform(times * number, slots, marks.counted(f"{name} {times * number}"))


class _Worker:
    """Performs jobs, each time under a lease of its own."""

    def __init__(self, store: Store, runners: Runners, hooks: HookRelay) -> None:
        self._store = store
        self._runners = runners
        self._hooks = hooks
        self._noops = _Noops()
        self._types = {JOB_TYPE: JobType(JOB_TYPE, self._noops.noop)}

    async def perform(self, number: int, slots: int, counted: AbstractContextManager[None]) -> None:
        """Submit jobs, and perform them within a context."""
        parts = Parts(
            store=self._store,
            types=self._types,
            versions={JOB_TYPE: "1"},
            runners=self._runners,
            slots=Slots(self._types, dict.fromkeys(Isolation, slots)),
            hooks=self._hooks,
            troubles=Troubles(_nothing),
            poke=_nothing,
        )
        await self._store.jobs.submit([Submission(new_job_id(), JOB_TYPE, _PAYLOAD) for _ in range(number)])
        orders, session = Orders(), Session(parts, await self._lease())
        self._noops.expected, self._noops.done = number, orders.drain.set
        with counted:
            await session.run(orders, timedelta(minutes=1))

    async def _lease(self) -> Lease:
        worker_id, sent_at = new_worker_id(), boot_time()
        registered = await self._store.workers.register(worker_id, {"name": "bench"})
        return Lease(worker_id, sent_at, registered.lease)


async def _stop_clock(url: str) -> None:
    client = connect(url)
    seconds, _ = await client.time()
    await client.set(Keys(NAMESPACE, "00")("offset"), f"={seconds * 1000}")
    await client.aclose()
