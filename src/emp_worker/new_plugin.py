"""Write the package of a new plugin: one job type, its tests, ready to be installed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from emp_core.errors import EmpError

PREFIX: Final = "emp-plugin-"
NAME_LIMIT: Final = 40
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FILES: Final = {
    "pyproject.toml": "pyproject.toml.template",
    "README.md": "README.md.template",
    "src/$module/__init__.py": "module.py.template",
    "src/$module/py.typed": None,
    "tests/test_$words.py": "test_module.py.template",
}
"""The files of a package, and the template of each; None is an empty file."""


class NotWritten(EmpError):
    """No package was written; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """The names in a new package; `name` is what the author calls it."""

    name: str

    @property
    def distribution(self) -> str:
        """Give the name that pip knows it by."""
        return f"{PREFIX}{self.name}"

    @property
    def job_type(self) -> str:
        """Give the name of its job type."""
        return f"{self.name}.run"

    def names(self) -> dict[str, str]:
        """Give what the templates ask for."""
        words = self.name.replace("-", "_")
        major, minor = version("emp-jobs").split(".")[:2]
        return {
            "name": self.name,
            "words": words,
            "distribution": self.distribution,
            "module": f"emp_plugin_{words}",
            "job_type": self.job_type,
            "emp_requirement": f"emp-jobs[worker]>={major}.{minor},<{int(major) + 1}",
        }


def named(text: str) -> NewPlugin:
    """Take the name of a plugin, with or without `emp-plugin-` before it.

    Raises:
        ValueError: it cannot be one.
    """
    name = text.removeprefix(PREFIX)
    if len(name) > NAME_LIMIT or _NAME.fullmatch(name) is None:
        rule = f"use 1 to {NAME_LIMIT} small letters, digits and single hyphens, a letter first, like `image-tools`"
        raise ValueError(f"{text[:80]!r} cannot name a plugin; {rule}")
    return NewPlugin(name)


def write_package(plugin: NewPlugin, parent: Path) -> Path:
    """Write the package into a new folder of `parent`, and give the folder. What is there is never touched.

    Raises:
        NotWritten: the folder exists, or cannot be written.
    """
    folder = parent / plugin.distribution
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise NotWritten(f"{folder} exists already; choose another name, or move it away") from error
    except OSError as error:
        raise NotWritten(f"{folder} cannot be made: {error.strerror}") from error
    try:
        _fill(folder, plugin.names())
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # ours alone: it was not there before
        raise NotWritten(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def _fill(folder: Path, names: dict[str, str]) -> None:
    templates = resources.files("emp_worker").joinpath("templates")
    for place, template in _FILES.items():
        file = folder / Template(place).substitute(names)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "" if template is None else templates.joinpath(template).read_text("utf-8")
        file.write_text(Template(text).substitute(names), "utf-8")
