"""The registry of workers: leases, status, and who has gone."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Trouble, WorkerInfo
from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys
from emp_core.store.records import (
    known_moment,
    read_object,
    read_troubles,
    seconds,
    text_of,
    whole_number,
    write_troubles,
)
from emp_core.store.scripts import Arg, Scripts

WORKERS_SHOWN = 1000
CURRENT_SHOWN = 50


class LeaseWord(StrEnum):
    """Whether a worker has its lease."""

    OK = "OK"
    LOST = "LOST"


class LeaveWord(StrEnum):
    """How a worker left: with nothing in its hands, or with jobs that recover takes, or it was not there."""

    LEFT = "LEFT"
    LOST = "LOST"
    NOT_FOUND = "NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration."""

    word: LeaseWord
    epoch: str
    lease: timedelta


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to a renewal: how many jobs the store thinks the worker holds, and what it is asked to do."""

    word: LeaseWord
    epoch: str
    held: int
    draining: bool
    asked: tuple[JobId, ...]


class WorkerStore:
    """The workers of one partition. Every call may raise StoreUnavailable."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, keys: Keys) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys

    async def _call(self, verb: str, **arguments: Arg) -> Any:
        return await self._pipeline.send(self._scripts[verb].command(self._keys.tag, arguments))

    async def register(self, worker: WorkerId, info: Mapping[str, Any]) -> Registered:
        """Create a worker's lease. `info` has name, host, pid, version, slots, types and plugins."""
        word, epoch, lease = await self._call(
            "register", worker=worker, info=json.dumps(dict(info)), epoch=secrets.token_hex(8)
        )
        return Registered(LeaseWord(word.decode()), text_of(epoch), timedelta(milliseconds=int(lease)))

    async def renew(
        self, worker: WorkerId, loop_lag: float, troubles: Sequence[Trouble] = (), *, draining: bool = False
    ) -> Renewed:
        """Keep a worker's lease and say how it does.

        Args:
            worker: whose lease.
            loop_lag: how late its event loop has been lately, in seconds.
            troubles: its jobs that misbehave now.
            draining: it stops of itself.
        """
        word, epoch, held, drains, *asked = await self._call(
            "renew",
            worker=worker,
            lag=f"{loop_lag:.3f}",
            troubles=write_troubles(troubles),
            drains="1" if draining else "",
        )
        return Renewed(
            word=LeaseWord(word.decode()),
            epoch=text_of(epoch),
            held=int(held),
            draining=drains == b"1",
            asked=tuple(JobId(text_of(job_id)) for job_id in asked),
        )

    async def leave(self, worker: WorkerId, reason: str) -> LeaveWord:
        """End a worker's lease, saying why."""
        return LeaveWord((await self._call("leave", worker=worker, reason=reason)).decode())

    async def drain(self, worker: WorkerId) -> bool:
        """Ask a worker to take nothing more, finish and leave; False if there is no such worker."""
        return bool(await self._call("drain", worker=worker) == b"OK")

    async def held(self, worker: WorkerId) -> frozenset[JobId]:
        """Read which jobs the store thinks a worker holds."""
        members = await self._pipeline.send(("SMEMBERS", self._keys("held", worker)))
        return frozenset(JobId(text_of(member)) for member in members)

    async def token_of(self, job_id: JobId) -> str:
        """Read a job's present token; empty if it has none."""
        token = await self._pipeline.send(("HGET", self._keys("job", job_id), "token"))
        return text_of(token) if token else ""

    async def list(self) -> list[WorkerInfo]:
        """Read every worker that has a lease, those with the oldest lease first."""
        found, now = await asyncio.gather(
            self._pipeline.send(
                ("ZRANGEBYSCORE", self._keys("workers"), "-inf", "+inf", "WITHSCORES", "LIMIT", 0, WORKERS_SHOWN)
            ),
            self._pipeline.send(("TIME",)),
        )
        workers = await asyncio.gather(
            *(self._info(WorkerId(text_of(id_)), float(lease), int(now[0])) for id_, lease in found)
        )
        return [worker for worker in workers if worker is not None]

    async def get(self, worker: WorkerId) -> WorkerInfo | None:
        """Read one worker; None if it has no lease."""
        lease, now = await asyncio.gather(
            self._pipeline.send(("ZSCORE", self._keys("workers"), worker)), self._pipeline.send(("TIME",))
        )
        return None if lease is None else await self._info(worker, float(lease), int(now[0]))

    async def _info(self, worker: WorkerId, lease: float, now: int) -> WorkerInfo | None:
        send = self._pipeline.send
        fields, held, current = await asyncio.gather(
            send(("HGETALL", self._keys("worker", worker))),
            send(("SCARD", self._keys("held", worker))),
            send(("SRANDMEMBER", self._keys("held", worker), CURRENT_SHOWN)),
        )
        if not fields:
            return None
        return _read_worker(
            worker,
            read_object(fields.get(b"info")),
            status=status_of(fields, held, overdue=lease < now * 1000),
            started_at=known_moment(fields.get(b"started_at")),
            renewed_at=known_moment(fields.get(b"renewed_at")),
            lease_until=known_moment(lease),
            held=held,
            loop_lag=seconds(fields.get(b"lag")),
            troubles=read_troubles(fields.get(b"troubles")),
            current=tuple(JobId(text_of(job_id)) for job_id in current),
            reason=text_of(fields.get(b"lost", b"")),
        )

    async def gone(self) -> Sequence[WorkerInfo]:
        """Read the workers that left or were lost lately, the last first, with the reason."""
        records: Sequence[bytes] = await self._pipeline.send(("LRANGE", self._keys("lost"), 0, -1))
        gone = []
        for record in map(read_object, records):
            if "worker_id" in record:
                at = known_moment(record.get("at"))
                gone.append(
                    _read_worker(
                        WorkerId(str(record["worker_id"])),
                        _object(record.get("info")),
                        status=str(record.get("status", "lost")),
                        started_at=known_moment(record.get("started_at")),
                        renewed_at=at,
                        lease_until=at,
                        reason=str(record.get("reason", "")),
                    )
                )
        return gone


def status_of(fields: Mapping[bytes, bytes], held: int, *, overdue: bool) -> str:
    """Say what a worker does, from its hash, the number of jobs that it holds and whether its lease is overdue."""
    if b"lost" in fields or overdue:
        return "lost"
    if fields.get(b"draining") == b"1":
        return "draining"
    return "busy" if held else "idle"


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one where the value is damaged."""
    return value if isinstance(value, dict) else {}


_LONG_AGO = datetime.fromtimestamp(0, tz=UTC)


def _read_worker(
    worker: WorkerId,
    info: Mapping[str, Any],
    *,
    status: str,
    started_at: datetime | None,
    renewed_at: datetime | None,
    lease_until: datetime | None,
    **more: Any,
) -> WorkerInfo:
    """Put a worker together from what it said of itself at registration and what the store knows."""
    plugins = info.get("plugins")
    return WorkerInfo(
        worker_id=worker,
        name=str(info.get("name", "")),
        status=status,
        host=str(info.get("host", "")),
        pid=whole_number(info.get("pid")) or 0,
        version=str(info.get("version", "")),
        slots=whole_number(info.get("slots")) or 0,
        started_at=started_at or _LONG_AGO,
        renewed_at=renewed_at or _LONG_AGO,
        lease_until=lease_until or _LONG_AGO,
        types=_object(info.get("types")),
        plugins=tuple(each for each in plugins if isinstance(each, dict)) if isinstance(plugins, list) else (),
        **more,
    )
