"""What both clients hold: where the server is, how long to try, and what a failure of the line means."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from emp_core.client.calls import Call
from emp_core.client.problems import problem_of
from emp_core.client.retrying import Failure, never_sent
from emp_core.errors import EmpError, SettingsError, Unreachable, WaitTimedOut

PATIENCE: Final = 10.0
TIMEOUT: Final = 30.0
CONNECT_TIMEOUT: Final = 5.0
LONG_POLL: Final = 30.0
STREAM_SILENCE: Final = 45.0
"""The server says that it lives every 15 seconds; a stream that is silent for three times that is dead."""
EVENT_BYTES: Final = 64 * 1024 * 1024
"""The first event of a stream can hold a job with its result (16 MiB, more when escaped)."""
FRUITLESS_PAUSE: Final = 0.2
"""A server that is about to stop answers a long poll at once; asking again without a pause would be a storm."""
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For lines that are not encrypted: to read the certificates of all authorities takes 50 ms. It trusts nobody."""


@dataclass(frozen=True, slots=True)
class Line:
    """The line to one server: its URL, the key to show, seconds of patience with failures, seconds for an answer."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    patience: float = PATIENCE
    timeout: float = TIMEOUT

    def __post_init__(self) -> None:
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise SettingsError(f"the server's URL {self.url!r} is not a URL: {error}") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise SettingsError(f"the server's URL {self.url!r} must look like http://127.0.0.1:8321")

    def client_arguments(self) -> dict[str, Any]:
        """Give the arguments for an HTTP client; the environment (proxies, .netrc) is not looked at."""
        headers = {} if self.api_key is None else {"authorization": f"Bearer {self.api_key}"}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self.limits(0.0),
            "trust_env": False,
            "verify": True if self.is_secure else NO_AUTHORITIES,
        }

    @property
    def is_secure(self) -> bool:
        """Tell whether the line is encrypted, and the server's certificate looked at."""
        return httpx2.URL(self.url).scheme == "https"

    def limits(self, wait: float) -> httpx2.Timeout:
        """Give the time limits of a request that the server may hold for `wait` seconds."""
        return httpx2.Timeout(self.timeout + wait, connect=min(CONNECT_TIMEOUT, self.timeout))

    def stream_limits(self) -> httpx2.Timeout:
        """Give the time limits of a stream."""
        return httpx2.Timeout(self.timeout, read=STREAM_SILENCE, connect=min(CONNECT_TIMEOUT, self.timeout))

    def meaning(self, failure: Failure, call: Call[Any]) -> EmpError:
        """Give the error that a call ends with after its last failure."""
        if isinstance(failure, httpx2.HTTPStatusError):
            return problem_of(failure.response)
        cause = str(failure) or type(failure).__name__
        if never_sent(failure):
            return Unreachable(f"cannot reach the server at {self.url}: {cause}")
        unknown = "" if call.repeatable else f"; whether {call.method} {call.path} was carried out is unknown"
        return Unreachable(f"the server at {self.url} did not answer: {cause}{unknown}")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When waiting for a job is over; without a limit it never is."""

    job_id: str
    timeout: float | None
    started: float = field(default_factory=time.monotonic)

    def next_poll(self) -> float:
        """Give the seconds that the server may hold the next answer.

        Raises:
            WaitTimedOut: the time is over.
        """
        if self.timeout is None:
            return LONG_POLL
        left = self.started + self.timeout - time.monotonic()
        if left <= 0:
            raise WaitTimedOut(f"job {self.job_id} had not ended after {self.timeout:g} seconds; it goes on")
        return min(left, LONG_POLL)
