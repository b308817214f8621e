"""How an attempt can go wrong, as exceptions.

JobError            a handler says exactly how it failed
`-- HandleNotSaved  what it wanted to keep for later attempts is not stored
JobCancelled        a handler stops because it was asked to
AttemptFailure      an EmpError: the worker ends or refuses the attempt
|-- PayloadRefused  the payload does not fit the model
|-- ResultRefused   the handler's result is not what its annotation says
|-- ResultTooLarge  the result is over its limit
|-- AttemptTimedOut a time limit of the attempt is over
|-- HandlerQuit     the handler raised what would end a process or a loop
|-- ChildNotReady   no child process can take the attempt
`-- ChildDied       the child process ended under the handler
    `-- ChildGone   it was gone before the attempt began there
RaisedInChild       a JobError: what a handler raised in a child process
Anything else that a handler raises is an error of its own.

InvalidJobType      an EmpError: a plugin declares a job type wrongly
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from emp_core.errors import EmpError, PayloadFault
from emp_core.jobs import LONGEST_DELAY


class JobError(Exception):
    """A handler's failure in its own words.

    With `retryable=False` the job fails at once, however many attempts are left. `code` is a short word for programs.
    `retry_after` (seconds or a timedelta) is the wait before the next attempt and wins over the backoff; a value that
    is not a time is ignored, a negative one means at once. `errors` says what is wrong where in the payload,
    messages by JSON pointer (RFC 6901); they are kept with the job like those of a payload that does not validate.
    """

    retryable: bool = True
    code: str | None = None
    retry_after: timedelta | None = None
    errors: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = True,
        code: str | None = None,
        retry_after: float | timedelta | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.code = code
        self.retry_after = _wait(retry_after)
        if errors is not None:
            self.errors = MappingProxyType(dict(errors))


class HandleNotSaved(JobError):
    """The store did not take a handle: the claim is over, or the record is damaged. Let it end the attempt."""


def _wait(value: float | timedelta | None) -> timedelta | None:
    """Bring a wished wait between zero and the longest delay; what is not a number is no wish."""
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if math.isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_DELAY.total_seconds()))


class JobCancelled(BaseException):
    """The handler stops because somebody called the job off; raised by `raise_if_cancelled`.

    It is no `Exception`, so that a handler's own `except Exception` lets it through.
    """


class InvalidJobType(EmpError, ValueError):
    """A job type is declared wrongly; the message says what to do. Correct the plugin."""


class AttemptFailure(EmpError):
    """The worker ends or refuses an attempt; what the handler itself raises is not among these."""


class PayloadRefused(AttemptFailure):
    """The payload does not fit the job type's model; `faults` names each place. Correct the payload, or the model."""

    def __init__(self, detail: str, *, faults: Sequence[PayloadFault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class ResultRefused(AttemptFailure):
    """The handler's result is not what its annotation says, or cannot be written as JSON. Correct the handler."""

    def __init__(self, detail: str, *, faults: Sequence[PayloadFault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class ResultTooLarge(AttemptFailure):
    """The result is over its limit. Keep it elsewhere and return where it is."""


class AttemptTimedOut(AttemptFailure):
    """A time limit of the attempt is over; the message says which. Raise the limit, or do less in one job."""


class HandlerQuit(AttemptFailure):
    """The handler raised what would end a process or a loop (SystemExit, say); the cause is what it raised."""


class ChildNotReady(AttemptFailure):
    """No child process can take the attempt; `output` holds what it printed last. Look at the worker's log."""

    def __init__(self, detail: str, *, output: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.output = tuple(output)


class ChildDied(AttemptFailure):
    """The child process ended under the handler; `output` holds what was printed and logged last. Mend the handler."""

    def __init__(self, detail: str, *, output: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.output = tuple(output)


class ChildGone(ChildDied):
    """The child process was gone before it took up the attempt, so another one may."""


class RaisedInChild(JobError):
    """What a handler raised in a child process; `described` is its JSON object, written there."""

    def __init__(
        self, message: str, described: Mapping[str, Any], *, retryable: bool, retry_after: float | None
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.described = described
