"""Decide whether and when the client sends a request again; the clients do the waiting."""

from __future__ import annotations

import random
import time
from typing import Final

import httpx2

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0


Failure = httpx2.TransportError | httpx2.HTTPStatusError
"""Why a request did not do what it was for: no answer, or an answer with an error status (its body is read)."""


def pause_before(repeat: int, *, left: float, unit: float, retry_after: float = 0.0) -> float | None:
    """Give the seconds to wait before a repetition (the first is 0), or None when the time that is left is too short.

    The pause doubles with each repetition and is drawn at random from its upper half (`unit` is 0.0 to 1.0), so that
    clients which lost their server together do not come back together; it is never shorter than `retry_after`.
    """
    longest = min(FIRST_PAUSE * 2.0 ** min(repeat, 16), LONGEST_PAUSE)
    pause = max(longest * (0.5 + unit / 2), retry_after)
    return pause if pause <= left else None


def retry_after(response: httpx2.Response) -> float | None:
    """Give the seconds after which a refused request may be sent again, or None where the answer is the answer.

    Only a 503 with `Retry-After` invites that; 429 and 507 do not pass by themselves within a call.
    """
    value = response.headers.get("retry-after")
    if response.status_code != httpx2.codes.SERVICE_UNAVAILABLE or value is None:
        return None
    # The other form that RFC 9110 allows, a date, is for outages of hours.
    return float(value) if value.isdecimal() else LONGEST_PAUSE


def never_sent(error: httpx2.TransportError) -> bool:
    """Tell whether a request that failed certainly did not reach the server."""
    return isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout))


class Repeats:
    """Counts the failures in a row of one call; patience (seconds) begins with the first of them."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._failures = 0
        self._until = 0.0

    def succeeded(self) -> None:
        """Begin anew: the next failure is the first of its row."""
        self._failures = 0

    def pause_after(self, failure: Failure, *, repeatable: bool) -> float | None:
        """Give the seconds to wait before the request is sent again, or None when it must not be."""
        if isinstance(failure, httpx2.HTTPStatusError):
            seconds = retry_after(failure.response)
            return None if seconds is None or not repeatable else self._pause(seconds)
        return self._pause() if repeatable or never_sent(failure) else None

    def _pause(self, at_least: float = 0.0) -> float | None:
        now = time.monotonic()
        if self._failures == 0:
            self._until = now + self._patience
        pause = pause_before(self._failures, left=self._until - now, unit=random.random(), retry_after=at_least)  # noqa: S311 - jitter is no secret
        self._failures += 1
        return pause
