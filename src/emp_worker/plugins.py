"""Load the installed plugins, each apart: one that is broken costs the others nothing and keeps its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pluggy
import structlog

from emp_core.jobs import Announcement
from emp_worker.discovery import FoundPlugin, Phase, PluginFailure, find_plugins, full_name, is_named, normalised
from emp_worker.error_json import describe
from emp_worker.jobtypes import JobType
from emp_worker.loading import LoadedPlugin, load_plugin, new_manager
from emp_worker.probe import find_deadly

_log = structlog.get_logger("emp.worker")


@dataclass(frozen=True, slots=True)
class LoadedType:
    """A job type that this process serves, and whose it is."""

    job_type: JobType
    distribution: str
    version: str

    def announcement(self) -> Announcement:
        """Say what the store and the server need to know of it."""
        return self.job_type.announcement(self.distribution, self.version)


@dataclass(frozen=True, slots=True)
class Plugins:
    """All that loading gave: the job types to serve, what was loaded, failed or left out, and the hooks to call.

    `absent` are the names that were asked for and that no installed plugin has.
    """

    types: Mapping[str, LoadedType]
    loaded: tuple[LoadedPlugin, ...]
    failures: tuple[PluginFailure, ...]
    disabled: tuple[FoundPlugin, ...]
    hooks: pluggy.HookRelay
    absent: tuple[str, ...] = ()

    def report(self) -> tuple[dict[str, Any], ...]:
        """Give one JSON object per plugin: whose it is, its state, its job types and, if it failed, how far it came."""
        rows = [report_row(each.found, "loaded", self._served(each)) for each in self.loaded]
        rows += [report_row(each, "failed") for each in self.failures]
        rows += [report_row(each, "disabled") for each in self.disabled]
        return tuple(sorted(rows, key=lambda row: (row["distribution"], row["entry_point"], row["state"])))

    def needed_for(self, job_type: str) -> tuple[str, ...]:
        """Name the distributions that an attempt of a served type runs code of: its own, and those that wrap jobs."""
        wrapping = [hook.plugin for hook in self.hooks.emp_around_job.get_hookimpls()]
        around = {each.found.distribution for each in self.loaded if each.plugin in wrapping}
        return tuple(sorted({self.types[job_type].distribution, *around}))

    def not_loaded(self) -> tuple[str, ...]:
        """Name the plugins that failed and serve nothing, so that another process need not find out again."""
        return tuple(full_name(each) for each in self.failures if each.phase not in {Phase.METADATA, Phase.CONFLICT})

    def _served(self, plugin: LoadedPlugin) -> list[str]:
        return [each.name for each in plugin.job_types if self._serves(each)]

    def _serves(self, job_type: JobType) -> bool:
        served = self.types.get(job_type.name)
        return served is not None and served.job_type is job_type


def report_row(plugin: FoundPlugin | PluginFailure, state: str, job_types: Sequence[str] = ()) -> dict[str, Any]:
    """Describe one plugin as a JSON object; one that failed has phase, why and traceback too."""
    row: dict[str, Any] = {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "state": state,
        "job_types": list(job_types),
    }
    if isinstance(plugin, PluginFailure):
        row |= {"phase": plugin.phase.value, "why": plugin.why, "traceback": plugin.traceback}
    return row


def load_plugins(
    *,
    only: Collection[str] | None = None,
    disabled: Collection[str] = (),
    prefer: Mapping[str, str] | None = None,
    import_limit: timedelta = timedelta(0),
) -> Plugins:
    """Find and load the installed plugins.

    Never fails: what went wrong is in `failures`, and whether that matters is the caller's business.

    Args:
        only: names of the distributions or entry points to load; None loads all.
        disabled: names of those not to load.
        prefer: which distribution serves a job type that several declare; without it none does.
        import_limit: how long one may take; each is tried in a child process first, which may die of it. 0: no trial.
    """
    found, failures = find_plugins()
    wanted = [plugin for plugin in found if (only is None or is_named(plugin, only)) and not is_named(plugin, disabled)]
    deadly = find_deadly(wanted, import_limit) if import_limit else []
    failures += deadly
    spared = {full_name(each) for each in deadly}
    manager = new_manager()
    loaded: list[LoadedPlugin] = []
    for plugin in (each for each in wanted if full_name(each) not in spared):
        match load_plugin(plugin):
            case PluginFailure() as failure:
                failures.append(failure)
            case LoadedPlugin() as each:
                loaded.append(each)
                if not manager.is_registered(each.plugin):  # two entry points may name one module
                    manager.register(each.plugin, name=full_name(plugin))
    types, conflicts = _served(loaded, prefer or {})
    left_out = tuple(plugin for plugin in found if plugin not in wanted)
    installed: list[FoundPlugin | PluginFailure] = [*found, *failures]
    absent = tuple(name for name in only or () if not any(is_named(each, (name,)) for each in installed))
    return Plugins(types, tuple(loaded), (*failures, *conflicts), left_out, manager.hook, absent)


def tell(hook: pluggy.HookCaller, **facts: Any) -> None:
    """Call a hook that only observes: what one plugin's code raises is logged, and the next one still hears."""
    for observer in reversed(hook.get_hookimpls()):
        try:
            observer.function(*[facts[name] for name in observer.argnames])
        except Exception as error:  # noqa: BLE001 - a plugin's code; nothing depends on it
            told = describe(error)
            problem = f"{told['kind']}: {told['message']}"
            _log.warning("hook_failed", hook=hook.name, plugin=observer.plugin_name, error=problem)


def _served(loaded: list[LoadedPlugin], prefer: Mapping[str, str]) -> tuple[dict[str, LoadedType], list[PluginFailure]]:
    """Say who serves which job type; one that several declare is served by the preferred one, or by none."""
    claims: dict[str, list[tuple[FoundPlugin, JobType]]] = {}
    for plugin in loaded:
        for job_type in plugin.job_types:
            claims.setdefault(job_type.name, []).append((plugin.found, job_type))
    types: dict[str, LoadedType] = {}
    failures: list[PluginFailure] = []
    for name, claimants in sorted(claims.items()):
        wish = normalised(prefer.get(name, ""))
        chosen = claimants
        if len(claimants) > 1:
            chosen = [claimant for claimant in claimants if normalised(claimant[0].distribution) == wish]
        if len(chosen) == 1:
            found, job_type = chosen[0]
            types[name] = LoadedType(job_type, found.distribution, found.version)
            continue
        owners = " and ".join(f"{found.distribution} {found.version}" for found, _ in claimants)
        remedy = f"remove one, or choose with EMP_PLUGINS_PREFER={name}={claimants[0][0].distribution}"
        why = f"{name} is declared by {owners}, so neither serves it; {remedy}"
        failures += [found.failure(Phase.CONFLICT, why) for found, _ in claimants]
    return types, failures
