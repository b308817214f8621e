"""Job types for lists of commands that a test writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emp_plugin_script import emp_job_types
from emp_worker import JobType


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], JobType]:
    """Give a function that makes the job type for a list of commands."""

    def made(text: str) -> JobType:
        file = tmp_path / "commands.toml"
        file.write_text(text, "utf-8")
        monkeypatch.setenv("EMP_SCRIPT_COMMANDS", str(file))
        (job_type,) = emp_job_types()
        return job_type

    return made
