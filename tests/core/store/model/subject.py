"""The real store that is compared with the model: its clock stands still until the test moves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import redis
from redis.asyncio import Redis

from emp_core.store import Store
from emp_core.store.connection import connect
from emp_core.store.scripts import Scripts

from .clients import WAITING_LIMIT

NAMESPACE = "model"
_NAMESPACE_TAG = f"{{emp:{NAMESPACE}}}"
_TAG = f"{{emp:{NAMESPACE}:00}}"


class Subject:
    """An empty store at a URL, called from a test that is not async; what was there before is gone."""

    def __init__(self, url: str, scripts: Scripts) -> None:
        self.raw = redis.Redis.from_url(url, protocol=2)
        self.raw.flushall()
        self._heard = self.raw.pubsub(ignore_subscribe_messages=True)
        self._heard.subscribe(f"{_TAG}:feed:updates")
        self._runner = asyncio.Runner()
        self._client = connect(url)

        def waiter() -> Redis:
            return connect(url, connections=2, blocking_for=1)

        self.store = Store(self._client, NAMESPACE, scripts, waiter, waiting_limit=WAITING_LIMIT)

    def do(self, call: Callable[[Store], Any]) -> Any:
        """Await what a method of the store gives."""

        async def awaited() -> Any:
            return await call(self.store)

        return self._runner.run(awaited())

    def set_clock(self, milliseconds: int) -> None:
        """Let it be this time, until further notice."""
        for tag in (_NAMESPACE_TAG, _TAG):
            self.raw.set(f"{tag}:offset", f"={milliseconds}")

    def updates(self) -> list[tuple[str, str]]:
        """Give the moves that were announced and not given yet, in no order."""
        self.raw.publish(f"{_TAG}:feed:updates", b"end")
        lines: list[bytes] = []
        while (message := self._heard.get_message(timeout=5)) is None or message["data"] != b"end":
            lines += message["data"].splitlines() if message else []
        return sorted((update["job_id"], update["status"]) for update in map(json.loads, lines))

    def close(self) -> None:
        """Let all connections go."""

        async def close() -> None:
            await self.store.close()
            await self._client.aclose()

        self._runner.run(close())
        self._runner.close()
        self._heard.close()
        self.raw.close()
