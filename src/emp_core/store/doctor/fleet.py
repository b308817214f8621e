"""Look at who works: the janitor, workers and their leases, types that nobody serves, and what was set aside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from emp_core.jobs import WAITING_STATES
from emp_core.store.doctor.findings import Finding, Forgotten, Settled, amount, error, fine, listed, warning
from emp_core.store.doctor.patient import Patient, text_of
from emp_core.store.doctor.places import standing
from emp_core.store.records import read_object, whole_number

SWEEP_OVERDUE: Final = 10_000
"""Milliseconds without a sweep that say that neither a server nor a worker lives; they sweep every second."""
LEASE_OVERDUE: Final = 5_000
"""Milliseconds after which a janitor that lives would have taken a late worker's jobs, or waits after an outage."""
WORKERS_SHOWN: Final = 1000


async def _now(patient: Patient) -> int:
    seconds, micros = await patient.ask("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def janitor(patient: Patient) -> Finding:
    """Say whether somebody sweeps."""
    last = whole_number(await patient.ask("HGET", patient.keys("sweep"), "at"))
    if last is None:
        return fine("janitor", "no server or worker has ever used this namespace")
    silent = await _now(patient) - last
    if silent <= SWEEP_OVERDUE:
        return fine("janitor", "a server or a worker sweeps")
    detail = f"nobody has swept for {silent // 1000} s: no server and no worker lives"
    return warning("janitor", detail, "start a server or a worker; until then no job is promoted, expired or recovered")


async def workers(patient: Patient) -> Finding:
    """Say which workers are late."""
    now = await _now(patient)
    late = await patient.ask(
        "ZRANGEBYSCORE", patient.keys("workers"), "-inf", now - LEASE_OVERDUE, "LIMIT", 0, WORKERS_SHOWN
    )
    number = await patient.ask("ZCARD", patient.keys("workers"))
    if not late:
        return fine("workers", f"{amount(number, 'worker, within its lease', 'workers, all within their leases')}")
    names = listed(text_of(worker) for worker in late)
    return warning(
        "workers",
        f"{len(late)} of {amount(number, 'worker is', 'workers are')} late and not forgotten: {names}",
        "the janitor takes their jobs; if it does not within half a minute, look for a server or worker that lives",
    )


async def forgotten(patient: Patient, names: Collection[str]) -> Finding:
    """Say which workers hold jobs and are in no list, so that nobody will ever take the jobs from them."""
    holders = [name.removeprefix("held:") for name in names if name.startswith("held:")]
    reads = [(("ZSCORE", patient.keys("workers"), who), ("SCARD", patient.keys("held", who))) for who in holders]
    found = []
    for who, read in zip(holders, reads, strict=True):
        lease, held = await patient.at_once(read)
        if lease is None and held:
            found.append(Forgotten(who))
    if not found:
        return fine("held jobs", "every worker that holds jobs is known")
    named = listed(damage.worker_id for damage in found)
    holders_are = amount(len(found), "worker holds jobs and is", "workers hold jobs and are")
    detail = f"{holders_are} not known: {named}; these jobs would never end"
    return error("held jobs", detail, "emp doctor --fix", found)


async def unserved(patient: Patient) -> Finding:
    """Say which types have waiting jobs and no worker that serves them."""
    counts = await patient.ask("HGETALL", patient.keys("counts"))
    waiting = {job_type for job_type, n in _waiting(counts).items() if n > 0}
    paused = {text_of(name) for name in await patient.ask("SMEMBERS", patient.keys("paused"))}
    unserved_types = sorted(waiting - await _served(patient))
    if not unserved_types:
        held_back = f" ({listed(sorted(waiting & paused))} paused)" if waiting & paused else ""
        return fine("job types", f"every type with waiting jobs has a worker{held_back}")
    return warning(
        "job types",
        f"{amount(len(unserved_types), 'type has', 'types have')} waiting jobs and no worker: {listed(unserved_types)}",
        "start a worker with the plugin that serves them",
    )


def _waiting(counts: Mapping[bytes, bytes]) -> dict[str, int]:
    waiting: dict[str, int] = {}
    for name, number in counts.items():
        state, _, job_type = text_of(name).partition(":")
        if state in WAITING_STATES:
            waiting[job_type] = waiting.get(job_type, 0) + (whole_number(number) or 0)
    return waiting


async def _served(patient: Patient) -> set[str]:
    return {job_type for types in (await _live_types(patient)).values() for job_type in types}


async def _live_types(patient: Patient) -> dict[str, Mapping[str, Any]]:
    """Read the job types of each worker within its lease, with their digests."""
    now = await _now(patient)
    live = await patient.ask("ZRANGEBYSCORE", patient.keys("workers"), now, "+inf", "LIMIT", 0, WORKERS_SHOWN)
    infos = await patient.ask_all([("HGET", patient.keys("worker", text_of(worker)), "info") for worker in live])
    types = [read_object(info).get("types") for info in infos]
    return {text_of(worker): each for worker, each in zip(live, types, strict=True) if isinstance(each, dict)}


async def unannounced(patient: Patient) -> Finding:
    """Say which types live workers serve that no server knows, since their announcement is gone."""
    serving: dict[str, str] = {}
    for worker, types in (await _live_types(patient)).items():
        serving |= {f"{job_type}|{digest}": worker for job_type, digest in types.items()}
    fields = sorted(serving)
    known = await patient.ask_all([("HEXISTS", f"{patient.namespace_tag}:types", field) for field in fields])
    unknown = [field for field, is_known in zip(fields, known, strict=True) if not is_known]
    if not unknown:
        return fine("announcements", "every type that a worker serves is announced")
    told = listed(f"{field.partition('|')[0]} of worker {serving[field]}" for field in unknown)
    return warning(
        "announcements",
        f"{amount(len(unknown), 'type that a worker serves is', 'types that workers serve are')} not announced: {told}",
        "workers announce them again within a lease; restart one that does not",
    )


async def set_aside(patient: Patient) -> Finding:
    """Say what the scripts could not read and moved out of their way."""
    entries: list[bytes] = await patient.ask("LRANGE", patient.keys("broken"), 0, -1)
    if not entries:
        return fine("set aside", "nothing was set aside")
    read = [read_object(entry) for entry in entries]
    settled = [Settled(entry) for entry, what in zip(entries, read, strict=True) if await _is_over(patient, what)]
    told = listed(f"{what.get('id') or what.get('index') or 'an entry'} ({what.get('why')})" for what in read)
    over = f"; {len(settled)} of them are sound again, or gone" if settled else ""
    remedy = "emp doctor --fix forgets those" if settled else "look at each with HGETALL; submit its job again"
    return warning(
        "set aside",
        f"{amount(len(entries), 'record was', 'records were')} damaged and set aside: {told}{over}",
        remedy,
        settled,
    )


async def _is_over(patient: Patient, what: Mapping[str, Any]) -> bool:
    """Tell whether the job of an entry can be read again, or is not there any more."""
    key = patient.keys("job", str(what.get("id", "")))
    if await patient.ask("TYPE", key) not in {b"hash", b"none"}:
        return False
    fields = await patient.ask("HGETALL", key)
    return not fields or standing(str(what["id"]), fields) is not None
