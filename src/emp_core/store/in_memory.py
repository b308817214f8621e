"""A store in the memory of this process, for tests: EMP's own scripts on fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from redis.asyncio import Redis

from emp_core.errors import EmbeddedStoreError
from emp_core.store import Store
from emp_core.store.scripts import Scripts


@asynccontextmanager
async def open_in_memory_store(namespace: str = "test") -> AsyncIterator[Store]:
    """Open an empty store of its own; what it holds ends with it.

    Raises:
        EmbeddedStoreError: the extra `testing` is not installed.
    """
    # Without lupa fakeredis has no scripts.
    if not (find_spec("fakeredis") and find_spec("lupa")):
        raise EmbeddedStoreError("a store in memory needs fakeredis and lupa: pip install 'emp-jobs[testing]'")
    import fakeredis  # noqa: PLC0415 - of the extra `testing`

    server = fakeredis.FakeServer()

    def client() -> Redis:
        return fakeredis.FakeAsyncRedis(server=server)

    async with client() as connection:
        store = Store(connection, namespace, Scripts(shebang=False), client)
        try:
            yield store
        finally:
            await store.close()
