"""Count what the store does for a job: submit, claim and complete, one at a time and 100 at a time.

The store is the real one, under callgrind; EMP's own JobStore drives it. Counted is what the store does with a request:
read it, run the script, write the answer to a buffer. Timers and sending are left out, as they depend on the time.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from typing import Final

import redis

from benchmarks.adapters.payloads import payload
from benchmarks.instructions.callgrind import callgrind_command, read_dumps
from benchmarks.instructions.parts import Figures, running_store
from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Completed, Submission
from emp_core.store import Reply, Store, batching, connection, open_store
from emp_core.store.scripts import Scripts

_NAMESPACE: Final = "bench"
_JOB_TYPE: Final = "bench.noop"
_PAYLOAD: Final = json.dumps(payload()).encode()
_WORKER: Final = WorkerId("01m8zzzzzzzzzzzzzzzzzzzzzz")
_ROUNDS: Final = {1: 160, 100: 20}
"""How often a batch of each size is counted."""
_WARM_UP: Final = 3
"""Batches of 100 before: then the indexes of jobs are those of many jobs."""
_PATIENCE: Final = 300.0
"""Seconds that a call may take: under callgrind the store is fifty times as slow."""
_COUNTED: Final = "readQueryFromClient"
"""The function of the store in which it is counted: it reads requests and carries them out."""
_MARK: Final = "echoCommand"
"""The function before which there is a dump: an ECHO is a mark."""

Mark = Callable[[str], object]


def count_store(folder: Path) -> Figures:
    """Return the instructions of the store per job, by verb and size of the batch."""
    counts = folder / "store.callgrind"
    options = (f"--toggle-collect={_COUNTED}", f"--dump-before={_MARK}")
    marks: list[str] = []
    with (
        running_store(folder, lambda server: callgrind_command(server, counts, *options)) as socket,
        redis.Redis(unix_socket_path=str(socket), socket_timeout=_PATIENCE, legacy_responses=False) as client,
    ):
        for script in Scripts():
            client.script_load(script.text)

        def mark(label: str) -> None:
            marks.append(label)
            client.echo(label)

        asyncio.run(_drive(f"unix://{socket}", mark))
    dumps = [instructions for trigger, instructions in read_dumps(counts) if _MARK in trigger]
    return figures(marks, dumps)


def figures(marks: list[str], dumps: list[int]) -> Figures:
    """Return the instructions per job of each label: what lies between its mark and the next one, less a mark's own.

    Raises:
        ValueError: nothing was counted.
    """
    found: dict[str, list[int]] = defaultdict(list)
    # A dump is made before the mark that causes it is carried out: the first one has what came before all marks.
    for label, instructions in zip(marks, dumps[1:], strict=False):
        found[label].append(instructions)
    nothing = fmean(found.pop("nothing"))
    del found["between"]
    if not all(each for values in found.values() for each in values):
        raise ValueError(f"nothing was counted in the store: has its program the function {_COUNTED}?")
    return {
        label: round((fmean(values) - nothing) / int(label.partition("_of_")[2] or 1))
        for label, values in sorted(found.items())
    }


async def _drive(url: str, mark: Mark) -> None:
    batching.LONGEST_TRIP = batching.LONGEST_STAY = connection.CALL_TIMEOUT = _PATIENCE
    async with open_store(url, _NAMESPACE) as store:
        await store.workers.register(_WORKER, {"name": "bench"})
        driver = _Driver(store)
        for _ in range(_WARM_UP):
            await driver.round(100, _leave_out)
        for size, rounds in _ROUNDS.items():
            for _ in range(rounds):
                mark("between")
                await store.workers.renew(_WORKER, 0.0)  # however slow the machine is
                mark("nothing")
                await driver.round(size, mark)
        mark("end")


def _leave_out(_: str) -> None:
    """Make no mark."""


class _Driver:
    """Takes batches of jobs from their submission to their end."""

    def __init__(self, store: Store) -> None:
        self._jobs = store.jobs
        self._ids = (JobId(f"01m8{number:020}00") for number in count())
        self._claims = count(1)

    async def round(self, size: int, mark: Mark) -> None:
        """Submit, claim and complete a batch, each after its mark.

        Raises:
            RuntimeError: the store did not take a job.
        """
        suffix = "" if size == 1 else f"_of_{size}"
        submissions = [Submission(job_id, _JOB_TYPE, _PAYLOAD) for job_id in islice(self._ids, size)]
        mark(f"submit{suffix}")
        await self._jobs.submit(submissions)
        mark(f"claim{suffix}")
        claim = await self._jobs.claim(_WORKER, next(self._claims), {_JOB_TYPE: size}, size)
        outcomes = [Completed(job.job_id, job.token, b'{"ok":true}') for job in claim.jobs]
        mark(f"complete{suffix}")
        replies = await self._jobs.complete(_WORKER, outcomes)
        if replies != [Reply.OK] * size:
            raise RuntimeError(f"of {size} jobs {replies.count(Reply.OK)} were completed; the claim said {claim.word}")
