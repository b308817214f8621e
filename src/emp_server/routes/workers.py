"""Show who works, and ask a worker to stop."""

from __future__ import annotations

import asyncio

import msgspec
import structlog
from fastapi import Response

from emp_core.errors import WorkerNotFound
from emp_core.ids import WorkerId, is_job_id
from emp_server import media
from emp_server.answers import worker_answer
from emp_server.documents import WorkersAnswer
from emp_server.parts import TheParts

_log = structlog.get_logger()


async def list_workers(parts: TheParts) -> Response:
    """List the workers that have a lease, and those that left or were lost lately."""
    workers, gone = await asyncio.gather(parts.store.workers.list(), parts.store.workers.gone())
    answer = WorkersAnswer([worker_answer(worker) for worker in workers], [worker_answer(worker) for worker in gone])
    return Response(msgspec.json.encode(answer), media_type=media.JSON)


async def get_worker(parts: TheParts, worker_id: str) -> Response:
    """Show one worker."""
    # What has not the form of an id has no place in a key.
    worker = await parts.store.workers.get(WorkerId(worker_id)) if is_job_id(worker_id) else None
    if worker is None:
        raise _not_found(worker_id)
    return Response(msgspec.json.encode(worker_answer(worker)), media_type=media.JSON)


async def drain_worker(parts: TheParts, worker_id: str) -> Response:
    """Ask a worker to claim nothing more, to finish what it holds, and to leave: 202, since that takes its time."""
    if not (is_job_id(worker_id) and await parts.store.workers.drain(WorkerId(worker_id))):
        raise _not_found(worker_id)
    _log.info("worker_asked_to_drain", worker_id=worker_id)
    worker = await parts.store.workers.get(WorkerId(worker_id))
    content = b"{}" if worker is None else msgspec.json.encode(worker_answer(worker))
    return Response(content, status_code=202, media_type=media.JSON)


def _not_found(worker_id: str) -> WorkerNotFound:
    return WorkerNotFound(f"there is no worker {worker_id[:64]!r}")
