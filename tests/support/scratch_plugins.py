"""Install plugins for one test: folders on the path, as pip would leave them."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Any

from emp_worker.discovery import find_plugins
from emp_worker.plugins import Plugins, load_plugins
from support.pages import ROOT

OURS = {folder.name for folder in (ROOT / "plugins").iterdir()}
FOREIGN = sorted({plugin.distribution for plugin in find_plugins()[0]} - OURS)
"""Plugins that are installed here and are not of this repository, such as one that a contributor is writing."""

ECHO = """
from pydantic import BaseModel, Field
from emp_worker import JobType, hookimpl

class Text(BaseModel):
    text: str = Field(description="the text")

async def echo(payload: Text) -> Text:
    return payload

@hookimpl
def emp_job_types():
    return [JobType({name!r}, echo, examples=[{{"text": "hello"}}])]
"""


def install(site: Path, distribution: str, source: str, *, version: str = "1.0", entry: str | None = None) -> str:
    """Install a one-module plugin under `site`, which has to be on the path; gives the module's name.

    `entry` is the line of its entry point, if another than `plugin = <module>`.
    """
    module = distribution.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(source))
    metadata = site / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[emp_worker]\n{entry or f'plugin = {module}'}\n")
    return module


def an_echo(name: str) -> str:
    """Give the source of a sound plugin that serves one job type of this name."""
    return ECHO.format(name=name)


def load_ours(*, disabled: Collection[str] = (), **options: Any) -> Plugins:
    """Load what the test and this repository have installed: `load_plugins` without `FOREIGN`, which may be broken."""
    return load_plugins(disabled=[*disabled, *FOREIGN], **options)
