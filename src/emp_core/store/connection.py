"""Connect to the store, and say its failures in our own words.

redis-py by default repeats a command up to ten times and gives up after five seconds: a lossy link ran one INCR four
times. The clients made here never repeat anything; whoever calls knows what may be repeated.
"""

from __future__ import annotations

from urllib.parse import urlsplit

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

_FULL = ("OOM", "MISCONF")
_NOT_NOW = (
    "READONLY",
    "LOADING",
    "BUSY",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "UNBLOCKED",
)
_NOT_LET_IN = ("NOAUTH", "WRONGPASS", "NOPERM")


def redacted(url: str) -> str:
    """Give a store URL without its password, for logs and errors."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}").geturl()


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
        raise SettingsError(f"redis_url {redacted(url)!r}: {error}") from error
    return Redis.from_pool(pool)


def explain(error: Exception) -> EmpError:
    """Turn redis-py's error into ours."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or text.startswith(_FULL):
        return StoreFull(f"the store refuses to write: {text}")
    if isinstance(error, AuthenticationError) or text.startswith(_NOT_LET_IN):
        return StoreUnavailable(f"the store does not let us in; check the user and password in redis_url: {text}")
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError | TimeoutError):
        return StoreUnavailable(f"no answer from the store: {text or type(error).__name__}")
    if isinstance(error, RedisError) and (text.startswith(_NOT_NOW) or not isinstance(error, ResponseError)):
        return StoreUnavailable(f"the store cannot answer now: {text}")
    return InternalError(f"the store refused a command: {text}")
