"""Look at a store before a process begins to work on it: some stores would lose jobs whatever EMP does."""

from __future__ import annotations

from typing import Final

import structlog

from emp_core.errors import StoreError, StoreUnfit
from emp_core.store import Durability, Level, eviction_detail, open_store, stops_start

MEMORY_HINT: Final = "every job is lost when the store stops; run `redis-cli CONFIG SET appendonly yes`"

_log = structlog.get_logger()


async def admit(redis_url: str, namespace: str, *, replicated: bool = False) -> None:
    """Log what the store keeps, or that it is unreachable: EMP waits for it then. A new store gets its format.

    Args:
        redis_url: the store's URL.
        namespace: which part of it.
        replicated: whether submissions are to wait for a replica.

    Raises:
        StoreUnfit: the store must not be worked on as it is.
        SettingsError: the URL cannot be read.
    """
    async with open_store(redis_url, namespace, replicated=replicated) as store:
        try:
            durability = await store.durability()
            await store.identify()
        except StoreError as error:
            if stops_start(error):
                raise StoreUnfit(error.detail) from error
            _log.warning("store_away", error=error.detail)
            return
    is_lost_at_stop = durability.level is Level.MEMORY
    (_log.warning if is_lost_at_stop else _log.info)(
        "store_found",
        durability=str(durability.level),
        why=durability.why,
        replicas=durability.replicas,
        **({"hint": MEMORY_HINT} if is_lost_at_stop else {}),
    )
    check(durability, replicated=replicated)


def check(durability: Durability, *, replicated: bool) -> None:
    """Refuse a store that would lose jobs.

    Raises:
        StoreUnfit: it throws keys away, or replicas are to be waited for and it does not ask for any.
    """
    if durability.evicts:
        raise StoreUnfit(eviction_detail(durability.policy))
    if replicated and durability.min_replicas == 0:
        raise StoreUnfit(
            "durability replica needs a store with min-replicas-to-write 1 or more: without it, a primary that is cut "
            "off goes on alone. Run `redis-cli CONFIG SET min-replicas-to-write 1`, and say so in its configuration "
            "file"
        )
