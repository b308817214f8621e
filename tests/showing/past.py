"""Give a store an hour of past: jobs that ended minute by minute, written by EMP's own scripts on a clock set back."""

from __future__ import annotations

import random
from datetime import timedelta

from redis.asyncio import Redis

from emp_core.ids import WorkerId, new_job_id, new_worker_id
from emp_core.jobs import Completed, Failed, Reason, Started, Submission
from emp_core.store import PARTITION, Store, open_store
from emp_core.store.keys import Keys
from emp_core.store.scripts import Scripts

MINUTES = 58
SLOTS = 200
ERROR = b'{"kind":"ConnectionError","message":"the renderer closed the connection","traceback":"..."}'


async def live_through_an_hour(redis_url: str, namespace: str, chance: random.Random) -> None:
    """Let jobs come and end in each of the last minutes, a few of them badly."""
    clock = Redis.from_url(redis_url)
    offset = Keys(namespace, PARTITION)("offset")
    async with open_store(redis_url, namespace, scripts=Scripts(shifted_clock=True)) as store:
        worker = new_worker_id()
        for minute in range(MINUTES, 0, -1):
            began = -timedelta(minutes=minute)
            await clock.set(offset, _ms(began))
            await store.workers.register(worker, _info())  # its last lease is long over
            # A swell and an ebb, so that the chart looks like a day at work.
            height = 60 + 45 * abs((minute % 30) - 15) // 15
            numbers = {
                "simulation.run": height + chance.randrange(12),
                "image.thumbnail": 18 + chance.randrange(14),
                "report.render": 4 + chance.randrange(5),
            }
            failing = chance.randrange(9, 14) if 20 < minute < 26 else chance.randrange(2)
            turn = MINUTES - minute + 1
            await _perform(store, worker, clock, offset, began, numbers, turn=turn, failing=failing)
        await store.workers.leave(worker, "stopped by SIGTERM")
    await clock.delete(offset)
    await clock.aclose()


async def _perform(
    store: Store,
    worker: WorkerId,
    clock: Redis,
    offset: str,
    began: timedelta,
    numbers: dict[str, int],
    *,
    turn: int,
    failing: int,
) -> None:
    for job_type, jobs in numbers.items():
        await store.jobs.submit([Submission(new_job_id(), job_type, b"{}") for _ in range(jobs)])
    claim = await store.jobs.claim(worker, turn, dict.fromkeys(numbers, SLOTS), SLOTS)
    await store.jobs.start(worker, [Started(job.job_id, job.token) for job in claim.jobs])
    for part, seconds in enumerate((1, 3, 9)):
        await clock.set(offset, _ms(began + timedelta(seconds=seconds)))
        ended = claim.jobs[part::3]
        bad = ended[: failing // 3 + (part < failing % 3)]
        await store.jobs.fail(worker, [Failed(job.job_id, job.token, Reason.ERROR, ERROR) for job in bad])
        good = ended[len(bad) :]
        await store.jobs.complete(worker, [Completed(job.job_id, job.token, b'{"steps":3}') for job in good])


def _info() -> dict[str, object]:
    types = dict.fromkeys(("simulation.run", "image.thumbnail", "report.render"), "d")
    return {
        "name": "batch-6",
        "host": "rack-2",
        "pid": 1,
        "version": "0.1.0",
        "slots": SLOTS,
        "types": types,
        "plugins": [],
    }


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
