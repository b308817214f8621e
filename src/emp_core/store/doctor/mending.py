"""Mend what can be mended safely: indexes, counters and times to live follow from the records, which stay as they are.

Beside the records, values that nothing can read are deleted.

Every write looks again at what it relies on, in one step with the write: what has moved meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from emp_core.store.doctor.findings import (
    Damage,
    Forgotten,
    Lasting,
    LostSequence,
    Miscount,
    Misplaced,
    Missing,
    Orphan,
    Settled,
    Stray,
    Unreadable,
    Vanishing,
    WrongType,
)
from emp_core.store.doctor.patient import Command, Patient
from emp_core.store.doctor.places import DAY, index_kind, standing

ORPHANS_LIVE_ON: Final = 7 * DAY
"""Milliseconds until a part that stands alone goes: time for somebody to look at it."""


async def mend(patient: Patient, damages: Iterable[Damage]) -> int:
    """Mend damages, and give how many were mended; the rest had changed since they were found."""
    return sum([await _mend(patient, damage) for damage in damages])


async def _mend(patient: Patient, damage: Damage) -> bool:
    keys = patient.keys
    match damage:
        case Missing() | Stray() | Misplaced():
            return await _set_right(patient, damage)
        case WrongType() | Unreadable() | LostSequence():
            return await _clear(patient, damage)
        case Orphan(key, job_id):
            alone = ("EXISTS", keys("job", job_id))
            return await patient.write_unless_changed([alone], [0], [("PEXPIRE", key, ORPHANS_LIVE_ON, "NX")])
        case Lasting(key):
            return bool(await patient.ask("PEXPIRE", key, DAY, "NX"))
        case Vanishing(key, job_id):
            return await _persist(patient, key, job_id)
        case Forgotten(worker_id):
            # Overdue for good: recover marks it lost, takes its jobs, and then forgets it in the usual way.
            return bool(await patient.ask("ZADD", keys("workers"), "NX", 0, worker_id))
        case Miscount(field, difference):
            # Added and not set: sound changes go on meanwhile, and do not touch the difference.
            await patient.ask("HINCRBY", keys("counts"), field, difference)
            return True
        case Settled(entry):
            return bool(await patient.ask("LREM", keys("broken"), 0, entry))
        case _:
            assert_never(damage)


async def _set_right(patient: Patient, damage: Missing | Stray | Misplaced) -> bool:
    """Give a job its place in an index, or take it out, as its record says now."""
    key, index = patient.keys("job", damage.job_id), patient.keys(damage.index)
    is_set = index_kind(damage.index) == "set"
    fields = await patient.ask("HGETALL", key)
    job = standing(damage.job_id, fields)
    place = job is not None and damage.index in job.places
    if place is isinstance(damage, Stray):
        return False
    write: Command
    if job is not None and place:
        score = job.places[damage.index]
        write = ("SADD", index, damage.job_id) if is_set else ("ZADD", index, str(score), damage.job_id)
    else:
        write = ("SREM" if is_set else "ZREM", index, damage.job_id)
    return await patient.write_unless_changed([("HGETALL", key)], [fields], [write])


async def _persist(patient: Patient, key: str, job_id: str) -> bool:
    record = ("HGETALL", patient.keys("job", job_id))
    fields = await patient.ask(*record)
    job = standing(job_id, fields)
    if job is None or job.is_final:
        return False
    return await patient.write_unless_changed([record], [fields], [("PERSIST", key)])


async def _clear(patient: Patient, damage: WrongType | Unreadable | LostSequence) -> bool:
    """Remove a value that nothing can read; what it was for begins anew, or is counted again."""
    match damage:
        case WrongType(key, kind):
            is_wrong = await patient.ask("TYPE", key) not in {kind.encode(), b"none"}
            return is_wrong and bool(await patient.ask("DEL", key))
        case Unreadable(key, removal, entry):
            return bool(await patient.ask(removal, key, *((0,) if removal == "LREM" else ()), entry))
        case LostSequence():
            # Above every number that it has given: it counts jobs, and there was less than one a millisecond.
            seconds, _ = await patient.ask("TIME")
            return bool(await patient.ask("SET", patient.keys("seq"), int(seconds) * 1000))
