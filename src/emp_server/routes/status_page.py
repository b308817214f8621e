"""Show at a glance whether things work."""

from __future__ import annotations

import asyncio

from fastapi import Response

from emp_core.errors import StoreError
from emp_core.store import JobFilter
from emp_server.pages import page
from emp_server.parts import TheParts

FAILED_SHOWN = 10
STATES = ("scheduled", "pending", "claimed", "in_progress", "completed", "failed", "cancelled")


async def status(parts: TheParts) -> Response:
    """Show the store's health, the counts, the workers, and the jobs that failed last."""
    store = parts.store
    try:
        stats, workers, failed, types = await asyncio.gather(
            store.views.stats(),
            store.workers.list(),
            store.views.list(JobFilter(state="failed"), None, FAILED_SHOWN),
            parts.catalog.types(),
        )
    except StoreError as error:
        return page("status.html", trouble=error.detail, states=STATES, rows=[], workers=[], failed=[])
    rows = [
        {
            "job_type": name,
            "counts": [stats.counts.get(name, {}).get(state, 0) for state in STATES],
            "oldest": stats.oldest_pending.get(name),
            "unserved": stats.counts.get(name, {}).get("pending", 0) > 0
            and (name not in types or types[name].workers_online == 0),
            "paused": name in types and types[name].paused,
        }
        for name in sorted({*stats.counts, *types})
    ]
    return page("status.html", trouble=None, states=STATES, rows=rows, workers=workers, failed=failed.jobs)
