"""Install plugins for one test: folders on the path, as pip would leave them."""

from __future__ import annotations

import textwrap
from pathlib import Path

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
