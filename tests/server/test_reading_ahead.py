"""What a busy server knows of job types and keys is read again before it is too old, and never used beyond that."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from emp_core.errors import StoreUnavailable
from emp_core.store import open_store
from emp_server.catalog import Catalog
from emp_server.keyring import KeyRing
from emp_server.settings import ServerSettings
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)


def aged(known, seconds):
    """Give what is known as if it had been read so long ago."""
    return dataclasses.replace(known, read_at=asyncio.get_running_loop().time() - seconds)


@pytest.fixture
async def catalog(store):
    catalog = Catalog(store, MINUTE)
    await catalog.known("any.thing")
    return catalog


@pytest.fixture
async def keyring(store):
    keyring = KeyRing(store.api_keys, ServerSettings(keys_fresh_for=MINUTE))
    await keyring.recognise({})
    return keyring


async def test_job_types_are_at_hand_and_read_ahead_when_half_of_their_time_is_over(catalog):
    catalog._snapshot = old = aged(catalog._snapshot, 31)

    assert catalog.at_hand("any.thing") is old.types["any.thing"]

    await wait_until_async(lambda: _changed(catalog, "_snapshot", old))
    assert catalog.at_hand("any.thing") is not None


async def test_job_types_that_are_too_old_are_not_at_hand(catalog):
    catalog._snapshot = aged(catalog._snapshot, 60)

    assert catalog.at_hand("any.thing") is None


async def test_what_was_forgotten_during_a_reading_is_read_again(catalog):
    catalog._snapshot = aged(catalog._snapshot, 31)
    catalog.at_hand("any.thing")
    reading = catalog._reading.under_way
    await asyncio.sleep(0)  # it has asked the store

    catalog.forget()
    await reading

    assert catalog.at_hand("any.thing") is None


async def test_keys_are_read_ahead_when_half_of_their_time_is_over(keyring):
    keyring._keys = old = aged(keyring._keys, 31)

    assert keyring.recognised({}) is not None

    await wait_until_async(lambda: _changed(keyring, "_keys", old))


async def test_keys_that_are_too_old_open_nothing(keyring):
    keyring._keys = aged(keyring._keys, 60)

    assert keyring.recognised({}) is None


async def test_a_reading_ahead_that_fails_is_no_matter_until_it_is_needed(keyring, catalog):
    async with open_store("redis://127.0.0.1:1/0", "away") as away:
        keyring._store = away.api_keys
        catalog._store = away
        keyring._keys, catalog._snapshot = aged(keyring._keys, 31), aged(catalog._snapshot, 31)

        assert keyring.recognised({}) is not None
        assert catalog.at_hand("any.thing") is not None
        await asyncio.wait([keyring._reading.under_way, catalog._reading.under_way])

        assert keyring.recognised({}) is not None
        keyring.forget()
        with pytest.raises(StoreUnavailable):
            await keyring.recognise({})


async def _changed(owner, name, old):
    return getattr(owner, name) is not old
