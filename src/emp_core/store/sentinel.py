"""Follow the primary that Sentinels name: `redis+sentinel://[user:password@]host:port,host:port/primary?db=0`.

Every new connection asks the Sentinels where the primary is. After a failover the connections to the old one end, or
answer READONLY and are given up, so the next call finds the new one; nothing has to be opened anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

SCHEME: Final = "redis+sentinel"
SENTINEL_PORT: Final = 26379
ANSWER_TIMEOUT: Final = 0.5
"""Seconds for one Sentinel to answer; then the next one is asked. A call that needs a connection waits for it."""


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """What such a URL says; user and password are those of the store. The Sentinels have their own."""

    sentinels: tuple[tuple[str, int], ...]
    primary: str
    database: int
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None


def is_sentinel_url(url: str) -> bool:
    """Tell whether a URL names Sentinels."""
    return url.startswith(f"{SCHEME}://")


def read_sentinel_url(url: str) -> SentinelUrl:
    """Take a URL apart.

    Raises:
        ValueError: it is not one; the message quotes nothing of it, since that may be a password.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    primary = unquote(parts.path.removeprefix("/"))
    if not hosts or not primary or "/" in primary or parts.fragment:
        raise ValueError(f"write {SCHEME}://host:port,host:port/name?db=0, a percent-encoded password before the hosts")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    strange = query.keys() - {"db", "sentinel_username", "sentinel_password"}
    if strange or not query.get("db", "0").isdecimal():
        raise ValueError("after the ? there may be db (a number), sentinel_username and sentinel_password")
    username, _, password = credentials.partition(":")
    return SentinelUrl(
        sentinels=tuple(_address(host) for host in hosts.split(",")),
        primary=primary,
        database=int(query.get("db", 0)),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username"),
        sentinel_password=query.get("sentinel_password"),
    )


def _address(text: str) -> tuple[str, int]:
    """Read `host`, `host:port` or `[address]:port`."""
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of a Sentinel is not one") from None
    if not parts.hostname:
        raise ValueError("a Sentinel has no host")
    return parts.hostname, SENTINEL_PORT if port is None else port


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary; who needs one more than there may be waits."""

    async def aclose(self) -> None:
        """Close the connections to the Sentinels, too."""
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def sentinel_pool(url: str, **options: Any) -> SentinelPool:
    """Make the pool of a URL.

    Args:
        url: which Sentinels, and which primary.
        options: what a pool of connections takes.

    Raises:
        ValueError: the URL cannot be read.
    """
    read = read_sentinel_url(url)
    # Credentials of their own for the Sentinels: those of the store are told to nobody else.
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types for it
        read.sentinels,
        sentinel_kwargs={
            "socket_timeout": ANSWER_TIMEOUT,
            "socket_connect_timeout": ANSWER_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "username": read.sentinel_username,
            "password": read.sentinel_password,
            "legacy_responses": False,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        },
    )
    return SentinelPool(  # type: ignore[no-untyped-call]  # the same
        read.primary,
        manager,
        db=read.database,
        username=read.username,
        password=read.password,
        **options,
    )
