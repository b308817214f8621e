"""The workers: which there are, what each runs now and for how long, what is wrong with them, and who has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Response

from emp_core.errors import WorkerNotFound
from emp_core.ids import JobId, WorkerId, is_job_id
from emp_core.jobs import RUNNING_STATES, Job, WorkerInfo
from emp_core.store import JobFilter
from emp_server.access import TheCaller
from emp_server.monitor.job_rows import job_rows
from emp_server.monitor.rendering import page
from emp_server.parts import Parts, TheParts

JOBS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker, and some of the jobs that it holds."""

    worker: WorkerInfo
    jobs: Sequence[Job]

    @property
    def broken_plugins(self) -> Sequence[Mapping[str, Any]]:
        """Those of its plugins that failed."""
        return [plugin for plugin in self.worker.plugins if plugin.get("state") == "failed"]


async def show_workers(parts: TheParts, caller: TheCaller) -> Response:
    """Show all workers."""
    workers, gone, now = await asyncio.gather(
        parts.store.workers.list(), parts.store.workers.gone(), parts.store.history.now()
    )
    shown = {worker.worker_id: worker.current[:JOBS_SHOWN] for worker in workers}
    jobs = await _held(parts, [job_id for ids in shown.values() for job_id in ids])
    rows = [
        WorkerRow(worker, [jobs[id_] for id_ in shown[worker.worker_id] if id_ in jobs])
        for worker in sorted(workers, key=lambda worker: (worker.status != "lost", worker.name, worker.worker_id))
    ]
    return page("workers.html", caller, now=now, rows=rows, gone=gone)


async def show_worker(parts: TheParts, caller: TheCaller, worker_id: str) -> Response:
    """Show one worker; one that has gone as long as it is remembered."""
    if not is_job_id(worker_id):
        raise WorkerNotFound("there is no such worker")
    worker, gone, now = await asyncio.gather(
        parts.store.workers.get(WorkerId(worker_id)), parts.store.workers.gone(), parts.store.history.now()
    )
    if worker is None:
        left = next((each for each in gone if each.worker_id == worker_id), None)
        if left is None:
            raise WorkerNotFound(f"there is no worker {worker_id}, and none with this id left lately")
        return page("worker.html", caller, now=now, row=WorkerRow(left, ()), rows=[], has_gone=True)
    held = await parts.store.views.list(JobFilter(worker=worker_id), None, parts.settings.page_default_items)
    rows = await job_rows(parts.store, held.jobs)
    return page("worker.html", caller, now=now, row=WorkerRow(worker, held.jobs), rows=rows, has_gone=False)


async def _held(parts: Parts, job_ids: Sequence[JobId]) -> dict[JobId, Job]:
    """Read jobs that are held; one that ended in between is left out."""
    jobs = await parts.store.views.get(job_ids)
    return {job.job_id: job for job in jobs if job is not None and job.state in RUNNING_STATES}
