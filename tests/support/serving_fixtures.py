"""Fixtures around a real server on a real store; a conftest that wants them imports them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx2
import pytest

from emp_core.store import Store, open_store
from emp_server.settings import ServerSettings
from support.plain_http import asking
from support.serving import ANYTHING, WORDS, Hand, RunningServer, register, running


@pytest.fixture
def settings(redis_url: str, namespace: str) -> ServerSettings:
    return ServerSettings(redis_url=redis_url, namespace=namespace, job_types_fresh_for=timedelta(milliseconds=50))


@pytest.fixture
def server(settings: ServerSettings) -> Iterator[RunningServer]:
    with running(settings) as server:
        yield server


@pytest.fixture
async def store(settings: ServerSettings) -> AsyncIterator[Store]:
    """Give the store under the server, with two job types known and no worker."""
    async with open_store(settings.redis_url, settings.namespace) as store:
        await store.types.announce([WORDS, ANYTHING])
        yield store


@pytest.fixture
async def client(server: RunningServer, store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    async with asking(server.url) as client:
        yield client


@pytest.fixture
async def worker(store: Store) -> Hand:
    """Register a worker that serves both types."""
    return await register(store)


@pytest.fixture
def known_types(settings: ServerSettings) -> None:
    """Make the two types known, for tests without an event loop."""

    async def announce() -> None:
        async with open_store(settings.redis_url, settings.namespace) as store:
            await store.types.announce([WORDS, ANYTHING])

    asyncio.run(announce())
