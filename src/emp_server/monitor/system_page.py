"""The system: the store's facts and what the doctor finds there, the settings in force, the versions of all parts."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from fastapi import Response

from emp_core.jobs import WorkerInfo
from emp_core.store import Durability, redacted
from emp_server.access import TheCaller
from emp_server.monitor.rendering import page
from emp_server.monitor.wording import number, of_bytes, plural, span
from emp_server.parts import TheParts
from emp_server.settings import ServerSettings

LIBRARIES: Final = ("fastapi", "hiredis", "msgspec", "pydantic", "redis", "uvicorn", "uvloop")
"""What a report of a fault asks the version of."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in force, in words that a setting takes; what it is for; whether it is another than the default."""

    name: str
    value: str
    about: str
    is_changed: bool


async def show_system(parts: TheParts, caller: TheCaller) -> Response:
    """Show what EMP runs on, and whether that is well."""
    glance, durability, epoch, workers, now = await asyncio.gather(
        parts.store.glance(),
        parts.store.durability(),
        parts.store.epoch(),
        parts.store.workers.list(),
        parts.store.history.now(),
    )
    return page(
        "system.html",
        caller,
        now=now,
        findings=sorted(glance.findings, key=lambda finding: finding.severity == "ok"),
        store=[
            *store_facts(glance.info, durability),
            ("Epoch", epoch),
            ("Came back empty", _emptied(parts.watch.emptied)),
        ],
        settings=settings_in_force(parts.settings),
        versions=versions(workers),
        worker_versions=Counter(worker.version for worker in workers).most_common(),
        refusals=parts.refusals.counts.most_common(),
        listeners=parts.updates.listeners,
        asks_for_keys=parts.keyring.asks,
    )


def _emptied(times: int) -> str:
    return "never since this server started" if not times else f"{plural(times, 'time')} since this server started"


def store_facts(info: Mapping[str, str], durability: Durability) -> Iterator[tuple[str, str]]:
    """Give what the store is and holds, in words; what it does not tell is left out.

    Args:
        info: what it says of itself; empty where INFO is forbidden.
        durability: what it keeps.
    """
    product = next((name for name in ("valkey", "redis") if f"{name}_version" in info), None)
    if product is not None:
        yield "Server", f"{product.capitalize()} {info[f'{product}_version']}"
    if "uptime_in_seconds" in info:
        yield "Up for", span(timedelta(seconds=int(info["uptime_in_seconds"])))
    yield "An accepted job survives", f"level {durability.level} ({durability.why})"
    yield "When memory is full", durability.policy or "not told"
    if "used_memory" in info:
        limit = int(info.get("maxmemory", 0))
        of = f"of {of_bytes(limit)}" if limit else "without a limit of its own"
        peak = of_bytes(int(info.get("used_memory_peak", info["used_memory"])))
        yield "Memory", f"{of_bytes(int(info['used_memory']))} used {of}, {peak} at most so far"
    if "connected_clients" in info:
        yield "Connections", number(int(info["connected_clients"]))
    if "instantaneous_ops_per_sec" in info:
        yield "Commands per second", number(int(info["instantaneous_ops_per_sec"]))
    yield "Replicas", str(durability.replicas)


def settings_in_force(settings: ServerSettings) -> list[Setting]:
    """Give every setting of this server; of the store's URL all but its password."""
    shown = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown.append(Setting(name, _written(name, value), field.description or "", value != field.default))
    return shown


def _written(name: str, value: Any) -> str:
    match value:
        case _ if name == "redis_url":
            return redacted(value)
        case bool():
            return str(value).lower()
        case timedelta():
            return span(value)
        case tuple():
            return ", ".join(map(str, value)) or "none"
        case int() if name.endswith("_bytes"):
            return of_bytes(value)
        case _:
            return str(value)


def versions(workers: Sequence[WorkerInfo]) -> list[tuple[str, str]]:
    """Give the versions of this server's parts, and those of the plugins that workers have loaded."""
    plugins = {
        (str(plugin.get("distribution", "")), str(plugin.get("version", "")))
        for worker in workers
        for plugin in worker.plugins
    }
    server = [("emp-jobs", version("emp-jobs")), ("Python", platform.python_version())]
    return [*server, *((name, version(name)) for name in LIBRARIES), *sorted(plugins)]
