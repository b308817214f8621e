"""Log who came in and who was rejected, on the logger `emp.audit`; what operators did is logged by the gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from starlette.types import Scope

from emp_server.callers import Caller
from emp_server.problems import REQUEST_ID

REJECTION_INTERVAL: Final = 1.0
"""Seconds between two lines of rejected keys and logins: a client that guesses must not fill the log."""

_log = structlog.get_logger("emp.audit")


def log_session(event: str, scope: Scope, caller: Caller) -> None:
    """Log that a session begins or ends, with its key and the address of the browser."""
    _log.info(event, key=caller.owner, by=caller.name, **_origin(scope))


class Rejections:
    """Logs rejected keys and logins, one a second at most; the next line says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_at = 0.0
        self._omitted = 0

    def log(self, event: str, scope: Scope, why: str) -> None:
        """Log a rejection, with the address that it came from; never what was sent."""
        if self._clock() < self._next_at:
            self._omitted += 1
            return
        _log.warning(event, why=why, omitted=self._omitted, **_origin(scope))
        self._next_at, self._omitted = self._clock() + REJECTION_INTERVAL, 0


def _origin(scope: Scope) -> dict[str, Any]:
    client = scope.get("client")
    return {"address": client[0] if client else "", "request_id": scope.get(REQUEST_ID, "")}
