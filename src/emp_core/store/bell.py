"""Wait for the doorbell: an idle worker sleeps in one blocking pop until there may be work for it.

The pop only ever wakes; it never carries a job, since a pop that is frozen or cancelled swallows what it took. So a
worker claims after every wait, however it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from emp_core.ids import WorkerId
from emp_core.store.connection import explain
from emp_core.store.keys import Keys


class Doorbell:
    """The doorbells of one partition, on a connection of their own."""

    LONGEST_WAIT: Final = 5.0
    """Seconds; a ring that was lost costs no more than this."""

    def __init__(self, connect: Callable[[], Redis], keys: Keys) -> None:
        self._client = connect()
        self._keys = keys

    async def wait(self, worker: WorkerId, job_types: Sequence[str], longest: float) -> bool:
        """Wait until one of the types has work, or somebody wants something of this worker.

        Args:
            worker: whose own bell is heard too (a cancel, a drain).
            job_types: the types for which it has room.
            longest: seconds, at most LONGEST_WAIT.

        Returns:
            True if the worker's own bell rang.

        Raises:
            StoreUnavailable: the store is away.
        """
        own = self._keys("bell", worker)
        keys = [own, *(self._keys("wake", job_type) for job_type in job_types)]
        # Redis reads the time with a precision of a millisecond, and 0 would mean for ever.
        patience = max(0.001, min(longest, self.LONGEST_WAIT))
        try:
            popped = await self._client.blpop(keys, timeout=round(patience, 3))
        except (RedisError, OSError, TimeoutError) as error:
            raise explain(error) from error
        return popped is not None and popped[0] == own.encode()

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()
