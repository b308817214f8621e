"""Wait for the doorbell: an idle worker sleeps in one blocking pop until there may be work for it.

The pop only ever wakes; it never carries a job, since a pop that is frozen or cancelled swallows what it took. So a
worker claims after every wait, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from emp_core.ids import WorkerId
from emp_core.store.connection import closed_transport_is_lost_connection
from emp_core.store.keys import Keys
from emp_core.store.refusals import explain


@dataclass(frozen=True, slots=True)
class Ring:
    """Why a wait ended: a type has work, or the worker is wanted itself (no type), for a cancel or a drain."""

    job_type: str | None


class Doorbell:
    """The doorbells of one partition, on a connection of their own that is made with the first wait."""

    LONGEST_WAIT: Final = 5.0
    """Seconds; a ring that was lost costs no more than this."""

    def __init__(self, connect: Callable[[], Redis], keys: Keys) -> None:
        self._connect = connect
        self._client: Redis | None = None
        self._keys = keys

    async def wait(self, worker: WorkerId, job_types: Collection[str], longest: float) -> Ring | None:
        """Wait until one of the types has work, or somebody wants something of this worker.

        Args:
            worker: whose own bell is heard too.
            job_types: the types for which it has room.
            longest: seconds, at most LONGEST_WAIT.

        Returns:
            What rang, or None when the time was over.

        Raises:
            StoreUnavailable: the store is away.
        """
        rings = {self._keys("bell", worker): Ring(None)}
        rings |= {self._keys("wake", job_type): Ring(job_type) for job_type in job_types}
        # Redis reads the time to a millisecond, and 0 would mean for ever.
        patience = max(0.001, round(min(longest, self.LONGEST_WAIT), 3))
        try:
            with closed_transport_is_lost_connection():
                popped = await self._open().blpop(list(rings), timeout=patience)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise explain(error) from error
            await self._delete_damaged(list(rings))
            return None
        except (RedisError, OSError, TimeoutError) as error:
            raise explain(error) from error
        if popped is None:
            return None
        key = popped[0]
        return rings[key.decode() if isinstance(key, bytes) else key]

    async def _delete_damaged(self, keys: Sequence[str]) -> None:
        """Delete bells that hold another type: the pop fails at once for as long as there is one among them."""
        try:
            client = self._open()
            kinds = [await client.type(key) for key in keys]
            for key, kind in zip(keys, kinds, strict=True):
                if kind not in {b"list", b"none"}:
                    await client.delete(key)
        except (RedisError, OSError, TimeoutError) as error:
            raise explain(error) from error

    def _open(self) -> Redis:
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
