"""A connection that one user holds, and the exchange over it.

A pool that lends a connection for each round trip costs two locks, a task and measurements, a third of what a round
trip costs here; who makes one round trip at a time needs one connection, and keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from emp_core.store.connection import closed_transport_is_lost_connection


class Line:
    """One connection of a client; it is taken with the first exchange, and connects anew after a loss."""

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._patience: float = self._pool.connection_kwargs["socket_timeout"]
        self._connection: AbstractConnection | None = None
        self._is_free = asyncio.Lock()

    async def exchange(self, commands: Sequence[bytes], told: Sequence[Callable[[], None]] = ()) -> list[Any]:
        """Send packed commands in one go and give their replies; errors of single commands stand among them.

        redis-py's own pipeline packs in Python, argument by argument, which costs more than all else that a submission
        does here, and measures itself for nobody. Exchanges wait for one another.

        Args:
            commands: as they are sent.
            told: called when they are sent.

        Raises:
            RedisError, OSError: the connection is lost or there is none, or the next reply has not come within
                the client's time limit. Whatever waited in it is dropped with it.
        """
        async with self._is_free:
            with closed_transport_is_lost_connection():
                connection = await self._open()
                return await self._exchange(connection, commands, told)

    async def _exchange(
        self, connection: AbstractConnection, commands: Sequence[bytes], told: Sequence[Callable[[], None]]
    ) -> list[Any]:
        is_over = False
        try:
            async with asyncio.timeout(self._patience) as limit:
                await connection.send_packed_command(commands)
                for tell in told:
                    tell()
                replies = [await _reply(connection)]
                for _ in commands[1:]:
                    limit.reschedule(asyncio.get_running_loop().time() + self._patience)
                    replies.append(await _reply(connection))
            is_over = True
        except TimeoutError:
            raise RedisTimeoutError(f"it has not answered within {self._patience:g} s") from None
        finally:
            if not is_over:
                # Replies may still come, and would be taken for those of the next exchange.
                await connection.disconnect(nowait=True)
        return replies

    async def _open(self) -> AbstractConnection:
        """Give the connection, made anew if the store has closed it since."""
        connection = self._connection
        if connection is None:
            self._connection = connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py has no types for it
        elif not connection.is_connected or await connection.can_read():
            connection.socket_timeout = self._patience
            await self._pool.ensure_connection(connection)
        # From here on `exchange` keeps the time itself: redis-py makes a task for each time that it keeps.
        connection.socket_timeout = None
        return connection

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._pool.release(connection)


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
