"""The key space: every key has an owner, and nothing is left when everything has come to its end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emp_core.api_keys import Scope, new_key
from emp_core.jobs import FINAL_STATES, Announcement
from emp_core.store.keys import OWNERS, namespace_tag

from .conftest import Engine
from .invariants import stored_jobs
from .soak import Soak, random_steps

pytestmark = pytest.mark.anyio

FOR_EVER = {"counts", "totals", "sweep", "epoch", "format", "seq", "lost", "types", "keys"}
SHORT_LIVED = {"wake", "bell", "minute", "idem", "session"}
OF_A_JOB = {"payload", "result", "error", "attempts", "log"}


@pytest.fixture
async def soaked(engine: Engine) -> Soak:
    """Give an engine on which anything has happened, several times."""
    soak = Soak(engine)
    await engine.store.types.announce([Announcement("test.a", "ab", "dist", "1")])
    key, _ = new_key("tester", [Scope.SUBMIT])
    await engine.store.api_keys.add(key)
    await engine.store.api_keys.open_session(key.key_id, timedelta(hours=12))
    await soak.run(random_steps(7, 300))
    return soak


def kind_of(engine: Engine, key: str) -> str:
    """Give a key's name without its tag and without what it is about."""
    for tag in (engine.keys.tag, namespace_tag(engine.namespace)):
        if key.startswith(f"{tag}:"):
            return key.removeprefix(f"{tag}:")
    raise AssertionError(f"{key} has no tag")


async def lives(engine: Engine) -> dict[str, bool]:
    """Tell of every key, by its name without the tag, whether it has a time to live."""
    return {kind_of(engine, key): await engine.client.pttl(key) > 0 for key in sorted(await engine.all_keys())}


async def test_every_key_has_an_owner(soaked: Soak) -> None:
    """The table names who deletes it, and every line of the table is about keys that there are."""
    names = {kind_of(soaked.engine, key) for key in await soaked.engine.all_keys()}

    owned = {
        name: [owner for owner in OWNERS if (name.startswith(owner) if owner.endswith(":") else name == owner)]
        for name in names
    }

    assert {name for name, owners in owned.items() if len(owners) != 1} == set()
    # A bell hangs only for a moment, and nothing was damaged.
    met = {owner for owners in owned.values() for owner in owners}
    assert set(OWNERS) - met <= {"bell:", "asked:", "broken", "paused", "wake:"}


async def test_what_should_have_a_time_to_live_has_one(soaked: Soak) -> None:
    """Bells, minutes and idempotency keys always, a job's keys exactly while it is final, nothing else."""
    engine = soaked.engine
    final = {job.job_id for job in await stored_jobs(engine) if job.state in FINAL_STATES}

    found = await lives(engine)

    wanted = {}
    for name in found:
        kind, _, of = name.partition(":")
        wanted[name] = kind in SHORT_LIVED or (kind in OF_A_JOB and of in final)
    assert final
    assert found == wanted


async def test_only_what_is_for_ever_is_left_at_the_end(soaked: Soak) -> None:
    """All jobs ended and retained, all workers gone: the key space is back at its baseline."""
    await soaked.end()

    left = {name for name, has_time_to_live in (await lives(soaked.engine)).items() if not has_time_to_live}

    assert left == FOR_EVER


async def test_no_keys_of_two_namespaces_are_the_same(engine: Engine) -> None:
    """Several EMPs may share one store."""
    await engine.submit()

    assert all(f"{{emp:{engine.namespace}" in key for key in await engine.all_keys())
