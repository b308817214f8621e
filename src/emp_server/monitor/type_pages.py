"""The job types: what each takes, who serves it, how it fares."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from fastapi import Response

from emp_core.errors import UnknownJobType
from emp_core.ids import is_job_type_name
from emp_core.jobs import JobState
from emp_core.store import Head, JobFilter
from emp_server.access import TheCaller
from emp_server.monitor.excerpts import excerpt
from emp_server.monitor.job_rows import job_rows
from emp_server.monitor.rendering import page
from emp_server.monitor.schema_words import describe
from emp_server.monitor.type_rows import read_recent
from emp_server.parts import TheParts

FAILED_SHOWN: Final = 5


async def show_types(parts: TheParts, caller: TheCaller) -> Response:
    """Show all job types."""
    recent = await read_recent(parts)
    return page("types.html", caller, now=recent.now, rows=recent.rows)


async def show_type(parts: TheParts, caller: TheCaller, job_type: str) -> Response:
    """Show one job type."""
    if not is_job_type_name(job_type):
        raise UnknownJobType("there is no such job type")
    failed_only = JobFilter(state=JobState.FAILED, job_type=job_type)
    recent, failed, workers, kept = await asyncio.gather(
        read_recent(parts),
        parts.store.views.list(failed_only, None, FAILED_SHOWN),
        parts.store.workers.list(),
        parts.store.glances.kept(job_type),
    )
    row = next((row for row in recent.rows if row.name == job_type), None)
    if row is None:
        raise UnknownJobType(f"no worker has announced the job type {job_type!r}, and no job of it is known")
    newest = row.known.newest if row.known else None
    serving = [worker for worker in workers if job_type in worker.types]
    examples = [msgspec.json.encode(example) for example in (newest.examples if newest else ())]
    return page(
        "type.html",
        caller,
        now=recent.now,
        row=row,
        newest=newest,
        fields=describe(newest.payload_schema) if newest and newest.payload_schema else (),
        result_fields=describe(newest.result_schema) if newest and newest.result_schema else (),
        examples=[excerpt(Head(text, len(text))) for text in examples],
        serving=serving,
        digests={worker.types[job_type] for worker in serving},
        kept={state.value: count for state, count in kept.items()},
        failed_jobs=await job_rows(parts.store, failed.jobs),
    )
