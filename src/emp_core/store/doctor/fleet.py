"""Look at who works: the janitor, workers and their leases, types that nobody serves, and what was set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from emp_core.jobs import WAITING_STATES
from emp_core.store.doctor.findings import Finding, Forgotten, Settled, amount, error, fine, listed, warning
from emp_core.store.doctor.patient import Patient
from emp_core.store.doctor.places import standing
from emp_core.store.records import read_object

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
    last = await patient.ask("HGET", patient.keys("sweep"), "at")
    if last is None:
        return fine("janitor", "no server or worker has ever used this namespace")
    silent = await _now(patient) - int(last)
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
    names = listed(worker.decode() for worker in late)
    return warning(
        "workers",
        f"{len(late)} of {amount(number, 'worker is', 'workers are')} late and not forgotten: {names}",
        "the janitor takes their jobs; if it does not within half a minute, look for a server or worker that lives",
    )


async def forgotten(patient: Patient, names: Sequence[str]) -> Finding:
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
    paused = {name.decode() for name in await patient.ask("SMEMBERS", patient.keys("paused"))}
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
        state, _, job_type = name.decode().partition(":")
        if state in WAITING_STATES:
            waiting[job_type] = waiting.get(job_type, 0) + int(number)
    return waiting


async def _served(patient: Patient) -> set[str]:
    now = await _now(patient)
    live = await patient.ask("ZRANGEBYSCORE", patient.keys("workers"), now, "+inf", "LIMIT", 0, WORKERS_SHOWN)
    infos = await patient.ask_all([("HGET", patient.keys("worker", worker.decode()), "info") for worker in live])
    return {job_type for info in infos for job_type in read_object(info).get("types") or {}}


async def set_aside(patient: Patient) -> Finding:
    """Say what the scripts could not read and moved out of their way."""
    entries: list[bytes] = await patient.ask("LRANGE", patient.keys("broken"), 0, -1)
    if not entries:
        return fine("set aside", "nothing was set aside")
    read = [read_object(entry) for entry in entries]
    settled = [Settled(entry) for entry, what in zip(entries, read, strict=True) if await _is_over(patient, what)]
    told = listed(f"{what.get('id')} ({what.get('why')})" for what in read)
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
