"""Write what an attempt raised as the JSON object that is kept with the job.

{"kind": class name, "message": text, "code"?: word, "errors"?: [{"pointer", "message"}], "traceback"?: text,
"output"?: [the last lines of a child process that died]}

It is valid UTF-8 JSON whatever the exception is and does: its own code (`__str__`, say) may raise, its text may hold
what no encoding takes.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from emp_worker.failures import (
    AttemptFailure,
    ChildDied,
    ChildNotReady,
    HandlerQuit,
    JobError,
    PayloadRefused,
    RaisedInChild,
    ResultRefused,
)

MESSAGE_LIMIT: Final = 2_000
CODE_LIMIT: Final = 64
FAULT_LIMIT: Final = 20
TRACEBACK_LIMIT: Final = 16 * 1024

_OURS = str(Path(__file__).parent)


def error_json(error: BaseException, **instead: str) -> bytes:
    """Write an error as a JSON object, with members that say it better `instead`; never raises."""
    # A lone surrogate has no UTF-8; inside a JSON string a question mark stands for it.
    return json.dumps({**describe(error), **instead}, ensure_ascii=False).encode("utf-8", "replace")


def describe(error: BaseException) -> dict[str, Any]:
    """Give the members of an error's JSON object; never raises."""
    if isinstance(error, RaisedInChild):  # described where it was raised
        return dict(error.described)
    raised = error.__cause__ if isinstance(error, HandlerQuit) and error.__cause__ is not None else error
    members: dict[str, Any] = {
        "kind": _guarded(lambda: type(raised).__name__, "Exception")[:CODE_LIMIT],
        "message": _guarded(lambda: str(raised), "(the error's text cannot be read)")[:MESSAGE_LIMIT],
    }
    if isinstance(raised, JobError) and raised.code is not None:
        members["code"] = _guarded(lambda: str(raised.code), "")[:CODE_LIMIT]
    if isinstance(raised, JobError) and (faults := _faults(raised)):
        members["errors"] = faults
    if isinstance(raised, PayloadRefused | ResultRefused):
        members["errors"] = [
            {"pointer": fault.pointer, "message": fault.message[:MESSAGE_LIMIT]}
            for fault in raised.faults[:FAULT_LIMIT]
        ]
    if isinstance(raised, ChildDied | ChildNotReady) and raised.output:
        members["output"] = [line[:MESSAGE_LIMIT] for line in raised.output]
    if not isinstance(raised, AttemptFailure):
        members["traceback"] = _tail(_guarded(lambda: _traceback(raised), "(the traceback cannot be read)"))
    return members


def _faults(error: JobError) -> list[dict[str, str]]:
    """Read a handler's own list of what is wrong where; what is no such list is left out."""
    try:
        faults = [(str(pointer), str(message)) for pointer, message in list(error.errors.items())[:FAULT_LIMIT]]
    except Exception:  # noqa: BLE001 - a subclass may have put anything there
        return []
    return [{"pointer": pointer[:MESSAGE_LIMIT], "message": message[:MESSAGE_LIMIT]} for pointer, message in faults]


def _guarded(read: Callable[[], str], otherwise: str) -> str:
    """Read a text that an exception's own code gives; whatever that code raises, there is a text."""
    try:
        # An exact str: a subclass may bring code of its own to every later step.
        return "".join(read())
    except BaseException:  # noqa: BLE001 - the exception's own code may raise anything, SystemExit too
        return otherwise


def _traceback(error: BaseException) -> str:
    """Write the traceback from the handler's first frame on; the frames above it are EMP's."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return "".join(traceback.TracebackException(type(error), error, frames).format())


def _tail(text: str) -> str:
    """Keep the end of a long traceback, where the error is."""
    data = text.encode("utf-8", "replace")
    if len(data) <= TRACEBACK_LIMIT:
        return data.decode()
    return "...\n" + data[4 - TRACEBACK_LIMIT :].decode("utf-8", "ignore")
