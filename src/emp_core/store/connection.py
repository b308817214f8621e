"""Connect to the store, and say its failures in our own words.

redis-py by default repeats a command up to ten times and gives up after five seconds: a lossy link ran one INCR four
times. The clients made here never repeat anything; whoever calls knows what may be repeated.
"""

from __future__ import annotations

import re

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.maint_notifications import MaintNotificationsConfig

from emp_core.errors import EmpError, InternalError, SettingsError, StoreFull, StoreUnavailable

CALL_TIMEOUT = 2.0
"""Seconds after which a call is given up. It may still run: a frozen store runs it when it thaws."""

_FULL = frozenset({"OOM", "MISCONF"})
_NOT_NOW = frozenset(
    {
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MOVED",
        "NOREPLICAS",
        "NOSCRIPT",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
    }
)
_NOT_LET_IN = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})
# A password that is not percent-encoded may hold any character: it goes on to the last "@", wherever that is.
_SECRET = re.compile(r"(?<=://)(?P<user>[^:@/?#]*):.*@|(?<=password=)[^&]*", re.DOTALL)


def redacted(url: str) -> str:
    """Give a store URL without its password, for logs and errors."""
    return _SECRET.sub(lambda found: "***" if found["user"] is None else f"{found['user']}:***@", url)


def connect(url: str, *, connections: int = 16, blocking_for: float | None = None) -> Redis:
    """Make a client; it connects when it is first used.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        connections: the most connections at once; who needs one more waits.
        blocking_for: the longest that a blocking command on this client waits, in seconds.

    Raises:
        SettingsError: the URL cannot be read.
    """
    timeout = CALL_TIMEOUT if blocking_for is None else blocking_for + CALL_TIMEOUT
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=CALL_TIMEOUT,
            socket_timeout=timeout,
            socket_connect_timeout=CALL_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            legacy_responses=False,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError as error:
        # The reason may quote a piece of the password, so it is told only where there is none, and not chained.
        told = error if redacted(url) == url else "no redis, rediss or unix URL with a percent-encoded password"
        raise SettingsError(f"redis_url {redacted(url)!r}: {told}") from None
    return Redis.from_pool(pool)


def explain(error: Exception) -> EmpError:
    """Turn redis-py's error into ours."""
    text = str(error)
    # For codes that it knows, redis-py takes the code off the text and puts it beside.
    code = error.status_code if isinstance(error, RedisError) and error.status_code else text.partition(" ")[0]
    said = text if text.startswith(code) else f"{code} {text}"
    if isinstance(error, OutOfMemoryError) or code in _FULL:
        return StoreFull(f"the store refuses to write: {said}")
    if isinstance(error, AuthenticationError) or code in _NOT_LET_IN:
        return StoreUnavailable(f"the store does not let us in; check the user and password in redis_url: {said}")
    if code in _NOT_NOW:
        return StoreUnavailable(f"the store cannot answer now: {said}")
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError | TimeoutError):
        return StoreUnavailable(f"no answer from the store: {text or type(error).__name__}")
    if isinstance(error, RedisError) and not isinstance(error, ResponseError):
        return StoreUnavailable(f"the store cannot answer now: {said}")
    return InternalError(f"the store refused a command: {said}")
