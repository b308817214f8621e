"""Find installed plugins by their metadata, importing none of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Final

from emp_worker.error_json import describe

GROUP: Final = "emp_worker"


class Phase(StrEnum):
    """How far a plugin came before it failed."""

    METADATA = "metadata"
    REQUIREMENTS = "requirements"
    IMPORT = "import"
    HOOKS = "hooks"
    JOB_TYPES = "job types"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """What is wrong with a plugin, why, and how far it came.

    `traceback` holds what it wrote last if it ended a process; it is empty where there is nothing to see.
    """

    distribution: str
    version: str
    entry_point: str
    phase: Phase
    why: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """An entry point that an installed distribution declares for EMP."""

    distribution: str
    version: str
    entry_point: str
    entry: EntryPoint = field(repr=False)

    def failure(self, phase: Phase, why: str, traceback: str = "") -> PluginFailure:
        """Say that this plugin failed."""
        return PluginFailure(self.distribution, self.version, self.entry_point, phase, why, traceback)


def is_named(plugin: FoundPlugin | PluginFailure, names: Collection[str]) -> bool:
    """Tell whether one of the names is the plugin's: of its distribution, its entry point, or `full_name`."""
    own = {normalised(each) for each in (plugin.distribution, plugin.entry_point, full_name(plugin))}
    return not own.isdisjoint(map(normalised, names))


def full_name(plugin: FoundPlugin | PluginFailure) -> str:
    """Name a plugin so that no other is meant: `distribution:entry point`."""
    return f"{plugin.distribution}:{plugin.entry_point}"


def normalised(name: str) -> str:
    """Bring a distribution's name into the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_plugins() -> tuple[list[FoundPlugin], list[PluginFailure]]:
    """List the plugins on the import path by name, and the distributions whose metadata cannot be read."""
    found: dict[str, list[FoundPlugin]] = {}
    failures: list[PluginFailure] = []
    for distribution in distributions():
        try:
            declared = _declared(distribution)
        except Exception as error:  # noqa: BLE001 - metadata is whatever somebody's build tool wrote
            told = describe(error)
            where = str(getattr(distribution, "_path", "unknown"))
            why = f"its metadata cannot be read: {told['kind']}: {told['message']}"
            failures.append(PluginFailure(where, "", "", Phase.METADATA, why, told.get("traceback", "")))
            continue
        if declared:
            # As on import, the first of two distributions with one name on the path is the one that counts.
            found.setdefault(normalised(declared[0].distribution), declared)
    return [plugin for name in sorted(found) for plugin in found[name]], failures


def _declared(distribution: Distribution) -> list[FoundPlugin]:
    """Read a distribution's entry points for EMP; the metadata of one that never names EMP is not looked at."""
    if GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return []
    entries = distribution.entry_points.select(group=GROUP)
    if not entries:
        return []
    metadata = distribution.metadata  # parsed anew at each look
    name, version = metadata["Name"], metadata["Version"]
    if not name or not version:
        raise ValueError("it has no name or no version")
    return [FoundPlugin(name, version, entry.name, entry) for entry in sorted(entries, key=lambda entry: entry.name)]
