"""Compare what a distribution says it requires with what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, version
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

EMP: Final = "emp-jobs"


def why_not_for_this_emp(distribution: Distribution) -> str:
    """Say which other version of EMP a distribution needs; empty if this one will do."""
    installed = _installed_emp()
    for requirement in _requirements(distribution):
        if canonicalize_name(requirement.name) == EMP and not requirement.specifier.contains(installed, True):
            remedy = "install another version of the plugin, or of EMP"
            return f"it needs {EMP}{requirement.specifier}, and {installed} is installed; {remedy}"
    return ""


@cache
def _installed_emp() -> str:
    return version(EMP)


def missing(distribution: Distribution) -> list[str]:
    """List the requirements, as pip reads them, that nothing installed meets."""
    return [f"{each.name}{each.specifier}" for each in _requirements(distribution) if not _is_met(each)]


def _requirements(distribution: Distribution) -> Iterator[Requirement]:
    """Give the requirements that count here: those of extras and of other platforms do not."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # whoever installed it has been told
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _is_met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), True)
    except PackageNotFoundError:
        return False
