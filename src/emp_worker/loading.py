"""Load one plugin: import it, and check its hooks and what it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pluggy

from emp_worker import hookspecs
from emp_worker.discovery import FoundPlugin, Phase, PluginFailure
from emp_worker.error_json import describe
from emp_worker.failures import InvalidJobType
from emp_worker.hookspecs import PROJECT
from emp_worker.jobtypes import JobType
from emp_worker.requirements import missing, why_not_for_this_emp
from emp_worker.stdout_guard import stdout_as_stderr


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that was loaded: the object that it hooks with, and all job types that it declares."""

    found: FoundPlugin
    plugin: object
    job_types: tuple[JobType, ...]


def new_manager() -> pluggy.PluginManager:
    """Make a plugin manager that knows EMP's hooks, and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load_plugin(found: FoundPlugin, entering: Callable[[Phase], None] = lambda _: None) -> LoadedPlugin | PluginFailure:
    """Import one plugin and check what it declares, surviving whatever its code does short of ending the process.

    `entering` hears of each phase before it begins.
    """
    phase = Phase.REQUIREMENTS
    try:
        # What a plugin prints while it loads must not get into a command's JSON.
        with stdout_as_stderr():
            if found.entry.dist is not None and (why := why_not_for_this_emp(found.entry.dist)):
                return found.failure(phase, why)
            entering(phase := Phase.IMPORT)
            plugin = found.entry.load()
            entering(phase := Phase.HOOKS)
            # A manager of its own: a plugin with a wrong hook never comes near the others'.
            manager = new_manager()
            manager.register(plugin, name=found.distribution)
            check_hooks(manager, plugin)
            entering(phase := Phase.JOB_TYPES)
            answers = manager.hook.emp_job_types()
            if manager.hook.emp_job_types.get_hookimpls() and not answers:  # pluggy leaves out None
                raise InvalidJobType("emp_job_types gave None; return a list of JobType(...) objects")
            job_types = tuple(declared(answers))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's code may raise anything, SystemExit too
        told = describe(error)
        why = f"{told['kind']}: {told['message']}{_remedy(found, error)}"
        return found.failure(phase, why, told.get("traceback", ""))
    return LoadedPlugin(found, plugin, job_types)


def _remedy(found: FoundPlugin, error: BaseException) -> str:
    """Say what to install where an import failed for want of it."""
    if not isinstance(error, ImportError) or found.entry.dist is None:
        return ""
    absent = missing(found.entry.dist)
    wanted = " ".join(f"'{requirement}'" for requirement in absent)
    return f"; what it requires is not installed: pip install {wanted}" if absent else ""


def check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse a plugin that hooks nothing, something unknown, or something without saying so.

    Raises:
        InvalidJobType, pluggy.PluginValidationError: it does; the message says what.
    """
    manager.check_pending()
    hooked = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    known = {name for name in vars(hookspecs) if name.startswith("emp_")}
    if unmarked := sorted(name for name in known - hooked if callable(getattr(plugin, name, None))):
        raise InvalidJobType(f"{', '.join(unmarked)} is not marked; put @hookimpl above it")
    if not hooked:
        raise InvalidJobType("the plugin hooks nothing; declare its job types in emp_job_types")


def declared(answers: Iterable[object]) -> Iterator[JobType]:
    """Check that what plugins declare are job types of different names, and give them.

    Raises:
        InvalidJobType: they are not.
    """
    names: set[str] = set()
    for answer in answers:
        if not isinstance(answer, Iterable):
            raise InvalidJobType(f"emp_job_types gave {type(answer).__name__}; give a list of JobType(...) objects")
        for job_type in answer:
            if not isinstance(job_type, JobType):
                raise InvalidJobType(f"emp_job_types gave {job_type!r}; give JobType(...) objects")
            if job_type.name in names:
                raise InvalidJobType(f"emp_job_types gave {job_type.name} twice")
            names.add(job_type.name)
            yield job_type
