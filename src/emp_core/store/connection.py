"""Connect to the store.

redis-py by default repeats a command up to ten times and gives up after five seconds: a lossy link ran one INCR four
times. The clients made here never repeat anything; whoever calls knows what may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.maint_notifications import MaintNotificationsConfig

from emp_core.errors import SettingsError
from emp_core.store.sentinel import is_sentinel_url, sentinel_pool

CALL_TIMEOUT = 2.0
"""Seconds after which a call is given up. It may still run: a frozen store runs it when it thaws."""

# A password that is not percent-encoded may hold any character: it goes on to the last "@", wherever that is.
_SECRET = re.compile(r"(?<=://)(?P<user>[^:@/?#]*):.*@|(?<=password=)[^&]*", re.DOTALL)


def redacted(url: str) -> str:
    """Give a store URL without its password, for logs and errors."""
    return _SECRET.sub(lambda found: "***" if found["user"] is None else f"{found['user']}:***@", url)


def connect(url: str, *, connections: int = 16, blocking_for: float | None = None) -> Redis:
    """Make a client; it connects when it is first used.

    Args:
        url: `redis://`, `rediss://`, `redis+sentinel://` or `unix://`.
        connections: the most connections at once; who needs one more waits.
        blocking_for: the longest that a blocking command on this client waits, in seconds.

    Raises:
        SettingsError: the URL cannot be read.
    """
    timeout = CALL_TIMEOUT if blocking_for is None else blocking_for + CALL_TIMEOUT
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": CALL_TIMEOUT,
        "socket_timeout": timeout,
        "socket_connect_timeout": CALL_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "legacy_responses": False,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    try:
        pool = (
            sentinel_pool(url, **options) if is_sentinel_url(url) else BlockingConnectionPool.from_url(url, **options)
        )
    except ValueError as error:
        # The reason may quote a piece of the password, so it is told only where there is none, and not chained.
        told = (
            error
            if redacted(url) == url
            else "no redis, rediss, redis+sentinel or unix URL with a percent-encoded password"
        )
        raise SettingsError(f"redis_url {redacted(url)!r}: {told}") from None
    return Redis.from_pool(pool)


def database_of(client: Redis) -> int:
    """Return the number of the database that a client uses."""
    return int(client.connection_pool.connection_kwargs.get("db") or 0)


@contextmanager
def closed_transport_is_lost_connection() -> Iterator[None]:
    """Raise redis-py's ConnectionError where a connection was reset just before a call was written to it.

    uvloop raises a plain RuntimeError ("the handler is closed") for a transport that a reset has closed, and redis-py
    lets it through: it would end loops that only know how a store fails.
    """
    try:
        yield
    except RuntimeError as error:
        raise RedisConnectionError(str(error)) from error
