"""Compare the records of jobs with everything that stands beside them: parts, indexes, counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from emp_core.ids import JobId
from emp_core.store.doctor.findings import (
    Damage,
    Finding,
    Lasting,
    Misplaced,
    Missing,
    Orphan,
    Stray,
    Vanishing,
    amount,
    error,
    fine,
    listed,
    warning,
)
from emp_core.store.doctor.patient import Command, Patient
from emp_core.store.doctor.places import PARTS, Standing, index_kind, standing
from emp_core.store.keys import OWNERS

MOST_DAMAGES: Final = 1000
"""Of a kind in one examination; what is mended then makes room for the next."""
LOOKS: Final = 3
"""Times that a job which moves meanwhile is looked at again; then it is taken to be well."""
SHORT_LIVED: Final = ("minute:", "idem:", "wake:", "bell:")


@dataclass
class Records:
    """What the key space holds: names of keys with their types, jobs by id, and what was found to be wrong."""

    kinds: Mapping[str, str]
    is_whole: bool
    jobs: dict[JobId, Standing] = field(default_factory=dict)
    broken: list[JobId] = field(default_factory=list)
    no_payload: list[JobId] = field(default_factory=list)

    @property
    def names(self) -> Collection[str]:
        """The names of all keys, without their tag."""
        return self.kinds.keys()

    def live_counts(self) -> Counter[str]:
        """Count the live jobs by state and type."""
        return Counter(job.counted_as for job in self.jobs.values() if not job.is_final)

    def ids(self, kind: str) -> list[JobId]:
        """Give the ids of keys of one kind."""
        prefix = f"{kind}:"
        return [JobId(name.removeprefix(prefix)) for name in self.names if name.startswith(prefix)]


async def read_records(patient: Patient, cap: int) -> Records:
    """Walk the keys and read the record of every job."""
    names, is_whole = await patient.names(cap)
    kinds = await patient.ask_all([("TYPE", patient.keys(name)) for name in names])
    # One that is gone ended and was deleted while we walked.
    records = Records(
        {name: kind.decode() for name, kind in zip(names, kinds, strict=True) if kind != b"none"}, is_whole
    )
    ids = records.ids("job")
    hashes = await patient.ask_all([("HGETALL", patient.keys("job", job_id)) for job_id in ids])
    for job_id, fields in zip(ids, hashes, strict=True):
        known = standing(job_id, fields)
        if known is not None:
            records.jobs[job_id] = known
        elif fields or records.kinds[f"job:{job_id}"] != "hash":
            records.broken.append(job_id)
    return records


def looked_at(records: Records) -> Finding:
    """Say how much was looked at."""
    if records.is_whole:
        return fine("key space", f"{len(records.names)} keys of this namespace, all of them looked at")
    told = f"only {len(records.names)} keys of this namespace were looked at, then the cap was reached"
    return warning("key space", told, "raise the cap with --keys")


def unread(records: Records) -> Finding:
    """Say which records cannot be read as jobs."""
    if not records.broken:
        return fine("records", f"{amount(len(records.jobs), 'job', 'jobs')}, every record can be read")
    return error(
        "records",
        f"{amount(len(records.broken), 'record', 'records')} cannot be read as jobs: {listed(records.broken)}",
        "look at each with HGETALL; submit its job again and delete its keys",
    )


async def indexes(patient: Patient, records: Records) -> Finding:
    """Say which jobs are missing in an index, and which indexes hold what does not belong there."""
    missing, misplaced = await _missing(patient, records)
    stray = await _strays(patient, records)
    if not missing and not misplaced and not stray:
        return fine("indexes", "every job stands where its state demands, and nowhere else")
    said = []
    if missing:
        told = listed(f"{each.job_id} in {each.index}" for each in missing)
        said.append(f"{amount(len(missing), 'entry is', 'entries are')} missing ({told})")
    if misplaced:
        told = listed(f"{each.job_id} in {each.index}" for each in misplaced)
        said.append(f"{amount(len(misplaced), 'entry is', 'entries are')} in the wrong place ({told})")
    if stray:
        told = listed(f"{each.job_id} in {each.index}" for each in stray)
        said.append(f"{amount(len(stray), 'is a stray', 'are strays')} ({told})")
    return error("indexes", "; ".join(said), "emp doctor --fix", [*missing, *misplaced, *stray])


async def _missing(patient: Patient, records: Records) -> tuple[list[Missing], list[Misplaced]]:
    """Find the jobs that an index lacks, or holds with another score than their records demand."""
    wanted = [(job_id, index, score) for job_id, job in records.jobs.items() for index, score in job.places.items()]
    found = await patient.ask_all([_look(patient, job_id, index) for job_id, index, _ in wanted])
    absent, elsewhere = [], []
    for (job_id, index, score), place in zip(wanted, found, strict=True):
        if not _stands(place):
            absent.append(Missing(job_id, index))
        elif score is not None and place != score:
            elsewhere.append(Misplaced(job_id, index))
    return (
        [each for each in absent[:MOST_DAMAGES] if await _differs(patient, each.job_id, each.index, demanded=True)],
        [each for each in elsewhere[:MOST_DAMAGES] if await _is_misplaced(patient, each)],
    )


async def _is_misplaced(patient: Patient, entry: Misplaced) -> bool:
    """Look again, at one moment."""
    for _ in range(LOOKS):
        fields, place = await patient.at_once(_with_record(patient, entry.job_id, entry.index))
        job = standing(entry.job_id, fields)
        if job is None or place is None or place == job.places.get(entry.index, place):
            return False
    return True


async def _strays(patient: Patient, records: Records) -> list[Stray]:
    strays: list[Stray] = []
    for name in records.names:
        kind = index_kind(name)
        if kind is None or records.kinds[name] != kind:
            continue
        async for member in patient.members(name, kind):
            job_id = JobId(member)
            suspect = len(strays) < MOST_DAMAGES and _may_be_stray(records, job_id, name)
            if suspect and await _differs(patient, job_id, name, demanded=False):
                strays.append(Stray(job_id, name))
    return list(dict.fromkeys(strays))


def _may_be_stray(records: Records, job_id: JobId, index: str) -> bool:
    job = records.jobs.get(job_id)
    if job is None:
        # Where not all keys were looked at, most such jobs are just not known.
        return records.is_whole and job_id not in records.broken
    return index not in job.places


def _look(patient: Patient, job_id: JobId, index: str) -> Command:
    return ("SISMEMBER" if index_kind(index) == "set" else "ZSCORE", patient.keys(index), job_id)


def _with_record(patient: Patient, job_id: JobId, index: str) -> Sequence[Command]:
    """Return the commands that read a job's record and its place in an index."""
    return (("HGETALL", patient.keys("job", job_id)), _look(patient, job_id, index))


def _stands(place: object) -> bool:
    return place is not None and (isinstance(place, float | bytes) or place == 1)


async def _differs(patient: Patient, job_id: JobId, index: str, *, demanded: bool) -> bool:
    """Look again, at one moment: jobs move while they are examined."""
    for _ in range(LOOKS):
        fields, place = await patient.at_once(_with_record(patient, job_id, index))
        job = standing(job_id, fields)
        is_demanded = job is not None and index in job.places
        if is_demanded is not demanded or _stands(place) is demanded:
            return False
    return True


async def parts(patient: Patient, records: Records) -> Finding:
    """Say which parts of jobs stand alone, are gone, or live shorter or longer than they should."""
    orphans, vanishing = await _orphans(patient, records), await _vanishing(patient, records)
    lasting = await _lasting(patient, records)
    strange = [name for name in records.names if not _has_owner(name)]
    said = [
        f"{len(found)} {what}: {listed(found)}"
        for what, found in (
            ("waiting or running jobs have no payload", await _without_payload(patient, records)),
            ("parts of live jobs would vanish", [damage.key for damage in vanishing]),
            ("parts of jobs stand alone", [damage.key for damage in orphans]),
            ("short-lived keys have no time to live", [damage.key for damage in lasting]),
            ("keys have no owner", strange),
        )
        if found
    ]
    damages: list[Damage] = [*orphans, *vanishing, *lasting]
    if not said:
        return fine("keys", "every key has an owner, or goes by itself")
    is_bad = bool(vanishing) or "no payload" in said[0]
    say = error if is_bad else warning
    return say("keys", "; ".join(said), "emp doctor --fix" if damages else "look at them", damages)


def _has_owner(name: str) -> bool:
    return name == "offset" or any(name.startswith(o) if o.endswith(":") else name == o for o in OWNERS)


async def _orphans(patient: Patient, records: Records) -> list[Orphan]:
    known = records.jobs.keys() | set(records.broken)
    alone = [(kind, job_id) for kind in PARTS for job_id in records.ids(kind) if job_id not in known]
    orphans = []
    for kind, job_id in alone[:MOST_DAMAGES]:
        key = patient.keys(kind, job_id)
        record, life = await patient.at_once((("EXISTS", patient.keys("job", job_id)), ("PTTL", key)))
        if not record and life == -1:
            orphans.append(Orphan(key, job_id))
    return orphans


async def _vanishing(patient: Patient, records: Records) -> list[Vanishing]:
    live = [job_id for job_id, job in records.jobs.items() if not job.is_final]
    suspects = [
        Vanishing(patient.keys(kind, id_), id_) for kind in ("job", "payload", "attempts", "log") for id_ in live
    ]
    lives = await patient.ask_all([("PTTL", suspect.key) for suspect in suspects])
    found = [suspect for suspect, life in zip(suspects, lives, strict=True) if life > 0]
    return [each for each in found[:MOST_DAMAGES] if await _is_live_and(patient, each.job_id, ("PTTL", each.key), -1)]


async def _without_payload(patient: Patient, records: Records) -> list[JobId]:
    have = set(records.ids("payload"))
    suspects = [job_id for job_id, job in records.jobs.items() if not job.is_final and job_id not in have]
    exists = [(job_id, ("EXISTS", patient.keys("payload", job_id))) for job_id in suspects[:MOST_DAMAGES]]
    return [job_id for job_id, command in exists if await _is_live_and(patient, job_id, command, 1)]


async def _is_live_and(patient: Patient, job_id: JobId, command: Command, sound: int) -> bool:
    """Tell whether a job has not ended and what the command reads is not sound, at one moment."""
    fields, value = await patient.at_once((("HGETALL", patient.keys("job", job_id)), command))
    job = standing(job_id, fields)
    return job is not None and not job.is_final and value != sound


async def _lasting(patient: Patient, records: Records) -> list[Lasting]:
    keys = [patient.keys(name) for name in records.names if name.startswith(SHORT_LIVED)]
    lives: Iterable[int] = await patient.ask_all([("PTTL", key) for key in keys])
    return [Lasting(key) for key, life in zip(keys, lives, strict=True) if life == -1][:MOST_DAMAGES]
