"""What the `emp` command's exit codes mean, and which error or outcome ends with which."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from emp_core.errors import (
    EmpError,
    InvalidPayload,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Overloaded,
    SettingsError,
    StoreUnavailable,
    StoreUnfit,
    TooLarge,
    Unauthenticated,
    Unreachable,
    WaitTimedOut,
)
from emp_core.jobs import JobState, Reason


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    ERROR = 1
    USAGE = 2
    JOB_FAILED = 3
    JOB_CANCELLED = 4
    TIMED_OUT = 5
    NOT_FOUND = 6
    NOT_ALLOWED = 7
    UNREACHABLE = 8
    INVALID_PAYLOAD = 9
    INTERRUPTED = 130


_BY_ERROR: Final[tuple[tuple[type[EmpError], ExitCode], ...]] = (
    (InvalidPayload, ExitCode.INVALID_PAYLOAD),
    (TooLarge, ExitCode.INVALID_PAYLOAD),
    (InvalidRequest, ExitCode.USAGE),
    (SettingsError, ExitCode.USAGE),
    (StoreUnfit, ExitCode.USAGE),
    (NotAllowed, ExitCode.NOT_ALLOWED),
    (Unauthenticated, ExitCode.NOT_ALLOWED),
    (NotFound, ExitCode.NOT_FOUND),
    (WaitTimedOut, ExitCode.TIMED_OUT),
    (Unreachable, ExitCode.UNREACHABLE),
    (StoreUnavailable, ExitCode.UNREACHABLE),
    (Overloaded, ExitCode.UNREACHABLE),
)


def exit_code_of(error: EmpError) -> ExitCode:
    """Give the exit code of a command that an error ended."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.ERROR)


def exit_code_of_job(state: JobState, reason: str | None) -> ExitCode:
    """Give the exit code of a command that saw a job end (or cannot wait for its end)."""
    if state is JobState.CANCELLED or (state is JobState.FAILED and reason == Reason.EXPIRED):
        return ExitCode.JOB_CANCELLED
    return ExitCode.JOB_FAILED if state is JobState.FAILED else ExitCode.OK
