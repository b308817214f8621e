"""Examine a store: its server, its keys, and who works on it; and mend what can be mended safely.

Bounded: keys are walked in steps up to a cap, no script runs for long, nothing is locked. Jobs move meanwhile, so what
looks wrong is looked at again, at one moment, before it is said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from emp_core.store.batching import Pipeline
from emp_core.store.connection import connect, database_of
from emp_core.store.doctor import bookkeeping, counters, fleet, records, service
from emp_core.store.doctor.findings import Finding, Severity, worst
from emp_core.store.doctor.mending import mend
from emp_core.store.doctor.patient import Patient
from emp_core.store.durability import read_durability
from emp_core.store.scripts import Scripts

__all__ = ["KEYS_LOOKED_AT", "TURNS", "Doctor", "Finding", "Glance", "Severity", "open_doctor", "worst"]

KEYS_LOOKED_AT: Final = 1_000_000
"""How many keys of the store an examination walks, unless it is told otherwise."""
TURNS: Final = 3
"""How often `--fix` mends what it finds: a repaired record or key shows what else is wrong."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a quick look finds, and what the store's server says of itself (INFO; empty where that is forbidden)."""

    findings: Sequence[Finding]
    info: service.Info


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines one partition. Every call may raise a StoreError."""

    patient: Patient
    pipeline: Pipeline
    scripts: Scripts
    cap: int = KEYS_LOOKED_AT

    async def examine(self) -> list[Finding]:
        """Answer every question, always in the same order; of records of another format only that they are."""
        if (of_format := await service.store_format(self.patient)).severity is not Severity.OK:
            return [of_format]
        return [
            of_format,
            *await self._service(await service.read_info(self.patient)),
            *await self._keys(),
            *await self._fleet(),
        ]

    async def glance(self) -> Glance:
        """Answer the questions that cost the same however many jobs there are: no key is walked."""
        info = await service.read_info(self.patient)
        of_format = await service.store_format(self.patient)
        return Glance([of_format, *await self._service(info), *await self._fleet()], info)

    async def mend(self, findings: Sequence[Finding]) -> int:
        """Mend what the findings name; give how much was mended."""
        return await mend(self.patient, [damage for finding in findings for damage in finding.damages])

    async def _service(self, info: service.Info) -> list[Finding]:
        # Whether EMP waits for a replica is a setting of the server, which is not asked here.
        durability = await read_durability(self.pipeline, replicated=False)
        return [
            service.version(info),
            service.role(info),
            service.eviction(durability),
            service.persistence(durability, info),
            service.memory(info),
            await service.clock(self.patient),
            await service.scripts(self.patient, self.scripts),
        ]

    async def _keys(self) -> list[Finding]:
        before = await counters.live_counters(self.patient)
        read = await records.read_records(self.patient, self.cap)
        indexes = await records.indexes(self.patient, read)
        return [
            records.looked_at(read),
            *await bookkeeping.bookkeeping(self.patient, read),
            records.unread(read),
            indexes,
            await records.parts(self.patient, read),
            await counters.counters(self.patient, before, read, indexes_are_sound=indexes.severity is Severity.OK),
            await fleet.forgotten(self.patient, read.names),
        ]

    async def _fleet(self) -> list[Finding]:
        return [
            await fleet.janitor(self.patient),
            await fleet.workers(self.patient),
            await fleet.unserved(self.patient),
            await fleet.unannounced(self.patient),
            await fleet.set_aside(self.patient),
        ]


@asynccontextmanager
async def open_doctor(
    redis_url: str, namespace: str, partition: str, *, cap: int = KEYS_LOOKED_AT
) -> AsyncIterator[Doctor]:
    """Open the store at a URL for an examination.

    Raises:
        SettingsError: the URL cannot be read.
    """
    client = connect(redis_url)
    scripts = Scripts(database=database_of(client))
    pipeline = Pipeline(client, scripts)
    try:
        yield Doctor(Patient(client, namespace, partition), pipeline, scripts, cap)
    finally:
        await pipeline.close()
        await client.aclose()
