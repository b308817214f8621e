"""Check what EMP keeps for itself beside the jobs: the types of keys, counters, times, names and lists of notes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from emp_core.ids import is_job_type_name
from emp_core.jobs import FINAL_STATES, JobState
from emp_core.store.announcements import read_announcement
from emp_core.store.api_keys import read_key
from emp_core.store.doctor.findings import (
    Damage,
    Finding,
    LostSequence,
    Unreadable,
    WrongType,
    amount,
    error,
    fine,
    listed,
    warning,
)
from emp_core.store.doctor.patient import Patient, text_of
from emp_core.store.doctor.places import index_kind
from emp_core.store.doctor.records import MOST_DAMAGES, Records
from emp_core.store.records import known_moment, read_object, whole_number

_HASHES: Final = ("job:", "worker:", "sweep", "counts", "totals", "minute:")
_STRINGS: Final = ("payload:", "result:", "error:", "idem:", "epoch", "format", "seq", "offset")
_LISTS: Final = ("attempts:", "log:", "bell:", "wake:", "lost", "broken")
_OF_JOBS: Final = ("job:", "payload:", "result:", "error:")
_LIVE: Final = frozenset(str(state) for state in JobState if state not in FINAL_STATES)
_WORKER_NUMBERS: Final = (b"lag", b"renewed_at", b"started_at", b"claim")
_SWEEP_NUMBERS: Final = frozenset({"at", "hold_until", "set_aside", "repaired"})
_EPOCH: Final = re.compile(rb"\d{13}-[0-9a-f]+")
_COUNT: Final = re.compile(r"([a-z_]+)(?::[a-z0-9_]+)?:[a-z0-9][a-z0-9._-]*")
_HIGHEST_NUMBER: Final = 0.75 * 2**42
"""As submit.lua has it."""


def type_of(name: str) -> str | None:
    """Return the type that a key of the partition must have; None for a name that is not EMP's."""
    kinds = {"hash": _HASHES, "string": _STRINGS, "list": _LISTS, "zset": ("workers",), "set": ("paused",)}
    for kind, owners in kinds.items():
        if any(name.startswith(owner) if owner.endswith(":") else name == owner for owner in owners):
            return kind
    return index_kind(name)


async def bookkeeping(patient: Patient, records: Records) -> list[Finding]:
    """Check the types of all keys, and the values that scripts and servers calculate with."""
    return [await _types(patient, records), await _values(patient, records)]


async def _types(patient: Patient, records: Records) -> Finding:
    wrong = [
        WrongType(patient.keys(name), expected)
        for name, kind in records.kinds.items()
        if (expected := type_of(name)) is not None and kind != expected
    ]
    names = ("types", "keys")
    kinds = await patient.ask_all([("TYPE", f"{patient.namespace_tag}:{name}") for name in names])
    spoiled = {
        f"{patient.namespace_tag}:{name}"
        for name, kind in zip(names, kinds, strict=True)
        if kind not in {b"hash", b"none"}
    }
    api_keys = f"{patient.namespace_tag}:keys"
    if not wrong and not spoiled:
        return fine("key types", "every key has the type that it must have")
    told = f"{amount(len(wrong) + len(spoiled), 'key holds', 'keys hold')} another type than EMP writes: " + listed(
        [*(each.key for each in wrong), *sorted(spoiled)]
    )
    # A person decides about jobs, and about API keys: without them a server on loopback would let everyone in.
    of_jobs = tuple(patient.keys(name) for name in _OF_JOBS)
    fixable = [each for each in wrong if not each.key.startswith(of_jobs)]
    fixable += [WrongType(key, "hash") for key in sorted(spoiled - {api_keys})]
    remedy = "emp doctor --fix" if fixable else "look at them; restore the values, or delete the keys"
    return error("key types", told, remedy, fixable[:MOST_DAMAGES])


async def _values(patient: Patient, records: Records) -> Finding:
    found: list[tuple[str, Damage | None]] = []
    for look in (_counters, _minutes, _sweep, _workers, _paused, _notes, _sequence, _epoch, _announced, _api_keys):
        found += [each async for each in look(patient, records)]
    if not found:
        return fine("bookkeeping", "every counter, time and name can be read")
    damages = [damage for _, damage in found if damage is not None]
    told = f"{amount(len(found), 'value', 'values')} cannot be read: {listed(where for where, _ in found)}"
    remedy = "emp doctor --fix" if damages else "look at them"
    return warning("bookkeeping", told, remedy, damages[:MOST_DAMAGES])


Found = AsyncIterator[tuple[str, Damage | None]]
"""Where something cannot be read, and what mends it."""


async def _hash(patient: Patient, key: str) -> Mapping[bytes, bytes]:
    fields: Mapping[bytes, bytes] = await patient.ask("HGETALL", key)
    return fields


def _unreadable(
    key: str, fields: Mapping[bytes, bytes], is_sound: Callable[[str, int | None], bool]
) -> Iterator[tuple[str, Damage]]:
    for name, value in fields.items():
        field = text_of(name)
        if not is_sound(field, whole_number(value)):
            yield f"{field} of {key}", Unreadable(key, "HDEL", field)


def _is_count(field: str, number: int | None) -> bool:
    if not field.isprintable():  # bytes that are no UTF-8, too
        return False
    what = _COUNT.fullmatch(field)
    # A newer release may keep other things here. A live counter may be too low: a recount says by how much.
    return what is None or (number is not None and (number >= 0 or what[1] in _LIVE))


async def _counters(patient: Patient, _records: Records) -> Found:
    for name in ("counts", "totals"):
        key = patient.keys(name)
        for each in _unreadable(key, await _hash(patient, key), _is_count):
            yield each


async def _minutes(patient: Patient, records: Records) -> Found:
    for name in records.names:
        if name.startswith("minute:"):
            key = patient.keys(name)
            for each in _unreadable(key, await _hash(patient, key), _is_count):
                yield each


async def _sweep(patient: Patient, _records: Records) -> Found:
    key = patient.keys("sweep")
    fields = await _hash(patient, key)
    for each in _unreadable(key, fields, lambda field, number: field not in _SWEEP_NUMBERS or (number or -1) >= 0):
        yield each


async def _workers(patient: Patient, records: Records) -> Found:
    async for worker in patient.members("workers", "zset"):
        if f"worker:{worker}" in records.kinds:
            continue
        lease = ("ZSCORE", patient.keys("workers"), worker)
        lease_ends, has_record = await patient.at_once((lease, ("EXISTS", patient.keys("worker", worker))))
        if lease_ends is not None and not has_record:
            # The janitor forgets it.
            yield f"'{worker}' of {patient.keys('workers')}", None
    for name in records.names:
        if not name.startswith("worker:"):
            continue
        key = patient.keys(name)
        fields = await _hash(patient, key)
        for number in _WORKER_NUMBERS:
            if number in fields and not _is_number(fields[number]):
                yield f"{number.decode()} of {key}", Unreadable(key, "HDEL", number.decode())
        if b"info" in fields and not read_object(fields[b"info"]):
            yield f"info of {key}", None


def _is_number(text: bytes) -> bool:
    return known_moment(text) is not None and not text.startswith(b"-")


async def _paused(patient: Patient, _records: Records) -> Found:
    key = patient.keys("paused")
    async for member in patient.members("paused", "set"):
        if not is_job_type_name(member):
            yield f"'{member}' of {key}", Unreadable(key, "SREM", member)


async def _notes(patient: Patient, _records: Records) -> Found:
    for name in ("lost", "broken"):
        key = patient.keys(name)
        for entry in await patient.ask("LRANGE", key, 0, -1):
            if not read_object(entry):
                yield f"an entry of {key}", Unreadable(key, "LREM", text_of(entry))


async def _sequence(patient: Patient, _records: Records) -> Found:
    text = await patient.ask("GET", patient.keys("seq"))
    number = whole_number(text)
    if text is not None and (number is None or not 0 <= number <= _HIGHEST_NUMBER):
        yield patient.keys("seq"), LostSequence()


async def _epoch(patient: Patient, _records: Records) -> Found:
    epoch = await patient.ask("GET", patient.keys("epoch"))
    if epoch is not None and not _EPOCH.fullmatch(epoch):
        yield f"{patient.keys('epoch')} (without the key, the next worker gives the store a new epoch)", None


async def _announced(patient: Patient, _records: Records) -> Found:
    key = f"{patient.namespace_tag}:types"
    for name, text in (await _hash(patient, key)).items():
        if read_announcement(text) is None:
            # A worker that serves it announces it again.
            yield f"{text_of(name)} of {key}", Unreadable(key, "HDEL", text_of(name))


async def _api_keys(patient: Patient, _records: Records) -> Found:
    key = f"{patient.namespace_tag}:keys"
    for name, text in (await _hash(patient, key)).items():
        if read_key(name, text) is None:
            yield f"{text_of(name)} of {key} (see `emp keys`)", None
