"""Look at the store's server itself: version, what it keeps, memory, clock, and whether it takes our scripts."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from emp_core.errors import InternalError, StoreError
from emp_core.store.doctor.findings import Finding, error, fine, warning
from emp_core.store.doctor.patient import Patient
from emp_core.store.durability import KEEPS_ALL, Durability, Level
from emp_core.store.format import NEWEST_FORMAT, OLDEST_FORMAT, parse_format
from emp_core.store.scripts import Scripts

OLDEST: Final = {"redis": (7, 0), "valkey": (7, 2)}
CLOCKS_APART: Final = 2.0
"""Seconds; the store's clock decides everything, so ours is off only for who sends absolute times or reads logs."""
NEARLY_FULL: Final = 0.9

Info = Mapping[str, str]


async def read_info(patient: Patient) -> Info:
    """Read what the server says of itself; nothing where that is forbidden."""
    try:
        read = await patient.ask("INFO")
    except (InternalError, StoreError) as failure:
        _raise_unless_forbidden(failure)
        return {}
    return {str(name): str(value) for name, value in read.items()}


def _raise_unless_forbidden(failure: InternalError | StoreError) -> None:
    """Go on where the command is unknown (managed stores rename it) or forbidden to our user."""
    if isinstance(failure, StoreError) and failure.code != "NOPERM":
        raise failure


async def store_format(patient: Patient) -> Finding:
    """Check whether this release works with the format of the store's records."""
    try:
        number = await patient.ask("GET", patient.keys("format"))
    except (InternalError, StoreError):
        if await patient.ask("TYPE", patient.keys("format")) == b"string":
            raise
        number = b""  # a key of another type holds no number
    found = parse_format(number)
    if OLDEST_FORMAT <= found <= NEWEST_FORMAT:
        return fine("format", f"format {found}")
    if number is None and not await patient.ask("EXISTS", patient.keys("epoch"), patient.keys("seq")):
        return fine("format", "the store is new")
    what = f"format {found}" if found else "no format number" if number is None else "an unreadable format number"
    works = f"this release works with formats {OLDEST_FORMAT} to {NEWEST_FORMAT}"
    is_newer = found > NEWEST_FORMAT
    remedy = (
        "install the release that the other processes run"
        if is_newer
        else "stop all servers and workers, then run `emp store migrate`"
    )
    return error("format", f"{what}; {works}", remedy)


def version(info: Info) -> Finding:
    """Say which server it is, and whether it is too old."""
    product = "valkey" if "valkey_version" in info else "redis"
    number = info.get(f"{product}_version", "")
    if not number:
        return warning("version", "the store does not say its version (INFO)", "allow INFO, or look yourself")
    found = tuple(map(int, re.findall(r"\d+", number)[:2]))
    oldest = OLDEST[product]
    if found < oldest:
        return error("version", f"{product} {number}", f"EMP needs {product} {oldest[0]}.{oldest[1]} or newer")
    return fine("version", f"{product} {number}")


def role(info: Info) -> Finding:
    """Say whether it can be written to."""
    if info.get("role") == "slave":
        return error("role", "it is a replica and takes no writes", "give the URL of the primary, or of the Sentinels")
    return fine("role", "primary" if info.get("role") else "not told")


def eviction(durability: Durability) -> Finding:
    """Say whether it throws jobs away when its memory is full."""
    if durability.evicts:
        remedy = f"CONFIG SET maxmemory-policy {KEEPS_ALL}, and say so in its configuration file"
        return error("eviction", f"maxmemory-policy {durability.policy} throws jobs away when memory is full", remedy)
    return fine("eviction", f"maxmemory-policy {durability.policy or 'is not told'}")


def persistence(durability: Durability, info: Info) -> Finding:
    """Say what survives, and whether the last write to the disk failed."""
    failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name, "ok") != "ok"]
    if failed:
        return error(
            "persistence", f"writing to the disk fails ({', '.join(failed)})", "see the store's log, and its disk"
        )
    told = f"level {durability.level}: {durability.why}"
    if durability.level is Level.MEMORY:
        return warning("persistence", told, "CONFIG SET appendonly yes: else every job is lost when the store stops")
    if durability.level is Level.UNKNOWN:
        return warning("persistence", told, "allow CONFIG GET, or look yourself")
    return fine("persistence", told)


def memory(info: Info) -> Finding:
    """Say how full it is."""
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return fine("memory", f"{used // 2**20} MiB used, without a limit of its own")
    told = f"{used // 2**20} of {limit // 2**20} MiB used"
    if used > NEARLY_FULL * limit:
        return warning(
            "memory", told, "raise maxmemory, or keep ended jobs for a shorter time: submissions get 507 when full"
        )
    return fine("memory", told)


async def clock(patient: Patient) -> Finding:
    """Compare the store's clock with ours."""
    before = time.time()
    seconds, micros = await patient.ask("TIME")
    ours = (before + time.time()) / 2
    apart = int(seconds) + int(micros) / 1e6 - ours
    if abs(apart) > CLOCKS_APART:
        told = f"the store's clock is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} ours"
        return warning("clock", told, "let both machines keep time (NTP): jobs run by the store's clock")
    return fine("clock", f"the store's clock and ours are {abs(apart) * 1000:.0f} ms apart")


async def scripts(patient: Patient, ours: Scripts) -> Finding:
    """Load the scripts, as every server and worker does."""
    try:
        names = await patient.ask_all([("SCRIPT", "LOAD", script.text) for script in ours])
    except (InternalError, StoreError) as failure:
        _raise_unless_forbidden(failure)
        return error("scripts", f"the store refuses our scripts: {failure.detail}", "allow SCRIPT and EVALSHA")
    if [name.decode() for name in names] != [script.sha for script in ours]:
        return error(
            "scripts", "the store names our scripts in its own way", "is there a proxy in between? Leave it out"
        )
    return fine("scripts", f"{len(names)} scripts loaded")
