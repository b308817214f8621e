"""How a command ends tells what happened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emp_core.cli.exit_codes import ExitCode, exit_code_of, exit_code_of_job
from emp_core.errors import (
    EmpError,
    InternalError,
    InvalidPayload,
    InvalidRequest,
    JobNotFound,
    NotAllowed,
    SettingsError,
    StateConflict,
    StoreUnavailable,
    StoreUnfit,
    TooLarge,
    UnknownJobType,
    Unreachable,
    WaitTimedOut,
    WorkerNotFound,
)
from emp_core.jobs import JobState


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EmpError, 1),
        (InternalError, 1),
        (StateConflict, 1),
        (InvalidRequest, 2),
        (SettingsError, 2),
        (StoreUnfit, 2),
        (WaitTimedOut, 5),
        (JobNotFound, 6),
        (UnknownJobType, 6),
        (WorkerNotFound, 6),
        (NotAllowed, 7),
        (Unreachable, 8),
        (StoreUnavailable, 8),
        (InvalidPayload, 9),
        (TooLarge, 9),
    ],
)
def test_an_error_has_its_exit_code(error, code):
    assert exit_code_of(error("")) == code


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        ("completed", None, 0),
        ("in_progress", None, 0),
        ("failed", "error", 3),
        ("failed", "timeout", 3),
        ("failed", "expired", 4),
        ("cancelled", None, 4),
    ],
)
def test_a_jobs_end_has_its_exit_code(state, reason, code):
    assert exit_code_of_job(JobState(state), reason) == code


def test_the_reference_lists_the_exit_codes():
    page = Path(__file__).parents[2].joinpath("docs/reference/command.md").read_text()

    listed = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| `(\w+)`", page, re.MULTILINE)}

    assert listed == {code.name: code.value for code in ExitCode}
