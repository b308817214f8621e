"""Compare the counters of live jobs with a recount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emp_core.jobs import FINAL_STATES, JobState
from emp_core.store.doctor.findings import Finding, Miscount, amount, error, fine, listed
from emp_core.store.doctor.patient import Patient, text_of
from emp_core.store.doctor.records import Records
from emp_core.store.records import whole_number

LIVE: Final = tuple(str(state) for state in JobState if state not in FINAL_STATES)


async def live_counters(patient: Patient) -> dict[str, int]:
    """Read the counters of jobs that have not ended, by `state:type`; those at zero are left out."""
    fields = await patient.ask("HGETALL", patient.keys("counts"))
    return {name: n for name, n in _read(fields).items() if name.partition(":")[0] in LIVE and n}


def _read(fields: Mapping[bytes, bytes]) -> dict[str, int]:
    """Read counters; one that cannot be read counts nothing (see bookkeeping.py)."""
    numbers = ((text_of(name), whole_number(text)) for name, text in fields.items())
    return {name: number for name, number in numbers if number is not None}


async def counters(patient: Patient, before: dict[str, int], records: Records, *, indexes_are_sound: bool) -> Finding:
    """Compare with the records where nothing moved since `before` was read, else with the indexes, at one moment."""
    counted = records.live_counts()
    after = await live_counters(patient)
    by_records = records.is_whole and not records.broken and after == before
    if by_records:
        wrong = {name: counted[name] - after.get(name, 0) for name in counted.keys() | after.keys()}
        how = "a recount of all jobs"
    else:
        wrong = await _against_indexes(patient, after)
        how = "the lengths of the indexes (jobs moved meanwhile, or not all were looked at)"
    damages = [Miscount(name, difference) for name, difference in sorted(wrong.items()) if difference]
    if not damages:
        return fine("counters", f"the counters of waiting and running jobs agree with {how}")
    told = listed(f"{damage.field} by {-damage.difference:+d}" for damage in damages)
    detail = f"{amount(len(damages), 'counter is', 'counters are')} wrong, by {how}: {told}"
    if not by_records and not indexes_are_sound:
        return error("counters", detail, "mend the indexes first, with emp doctor --fix")
    return error("counters", detail, "emp doctor --fix", damages)


async def _against_indexes(patient: Patient, known: dict[str, int]) -> dict[str, int]:
    """Compare each type's waiting line, at one moment; the other indexes hold all types together."""
    types = sorted({name.partition(":")[2] for name in known})
    lengths = [("ZCARD", patient.keys("pending", job_type)) for job_type in types]
    fields, *waiting = await patient.at_once((("HGETALL", patient.keys("counts")), *lengths))
    counts = _read(fields)
    names = [f"{JobState.PENDING}:{job_type}" for job_type in types]
    return {name: length - counts.get(name, 0) for name, length in zip(names, waiting, strict=True)}
