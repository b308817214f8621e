"""Announced job types: every version stays known for a while; pausing and resuming."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emp_core.jobs import Announcement

from .conftest import TYPE, Engine

pytestmark = pytest.mark.anyio

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"ä": {"maximum": 9007199254740993, "enum": []}}}


def version(digest: str, **fields: Any) -> Announcement:
    """Make an announcement of one version of a type."""
    return Announcement(
        **{"job_type": TYPE, "digest": digest, "distribution": "emp-plugin-x", "version": "1.0"} | fields
    )


async def known(engine: Engine) -> dict[str, Announcement]:
    """Read what is announced, by type and digest."""
    return {f"{one.job_type}|{one.digest}": one for one in await engine.store.types.announced()}


def _now(ago: timedelta = timedelta(0)) -> bytes:
    """Give a moment as it stands before an announcement: Unix milliseconds."""
    return b"%d" % ((datetime.now(tz=UTC) - ago).timestamp() * 1000)


@pytest.mark.every_engine
async def test_an_announcement_is_read_as_it_was_made(engine: Engine) -> None:
    """Schemas, examples and options come back unchanged, with the time they were last seen."""
    made = version(
        "ab",
        title="Work",
        description="does it",
        payload_schema=SCHEMA,
        result_schema={"type": "null"},
        examples=({"n": 1}, [], None),
        options={"timeout": 1.5, "max_attempts": 5},
    )

    await engine.store.types.announce([made])

    (read,) = await engine.store.types.announced()
    assert read.seen_at is not None
    assert read == version(**{name: getattr(made, name) for name in made.__slots__} | {"seen_at": read.seen_at})


async def test_all_versions_of_a_type_are_kept(engine: Engine) -> None:
    """A payload may have been checked against any of them."""
    await engine.store.types.announce([version("ab"), version("cd"), version("ef", job_type="test.other")])

    assert set(await known(engine)) == {f"{TYPE}|ab", f"{TYPE}|cd", "test.other|ef"}


async def test_the_same_version_again_is_seen_later(engine: Engine) -> None:
    """A living worker announces once a day; nothing else changes."""
    await engine.store.types.announce([version("ab")])
    (before,) = await engine.store.types.announced()
    await engine.client.incrby(f"{{emp:{engine.namespace}}}:offset", 60_000)

    await engine.store.types.announce([version("ab")])

    (after,) = await engine.store.types.announced()
    assert before.seen_at is not None
    assert after.seen_at is not None
    assert 60 <= (after.seen_at - before.seen_at).total_seconds() < 70


@pytest.mark.parametrize(("days", "left"), [(29, {"ab", "cd"}), (31, {"cd"})])
async def test_a_version_that_nobody_serves_is_forgotten_after_thirty_days(
    engine: Engine, days: int, left: set[str]
) -> None:
    """The next announcement of any type clears it away."""
    await engine.store.types.announce([version("ab")])
    await engine.client.incrby(f"{{emp:{engine.namespace}}}:offset", timedelta(days=days) // timedelta(milliseconds=1))

    await engine.store.types.announce([version("cd")])

    assert {one.digest for one in (await known(engine)).values()} == left


@pytest.mark.parametrize(("days", "is_known"), [(29, True), (31, False)])
async def test_a_version_of_long_ago_is_not_told_where_nobody_announces_any_more(
    engine: Engine, days: int, is_known: bool
) -> None:
    """All workers have gone, so that nothing clears it away."""
    announced = b' {"job_type":"x","digest":"y","distribution":"d","version":"2"}'
    await engine.client.hset(f"{{emp:{engine.namespace}}}:types", "x|y", _now(timedelta(days=days)) + announced)

    assert bool(await known(engine)) == is_known


@pytest.mark.parametrize(
    "damage", [b"", b"nonsense", b"17 [1]", b'17 {"job_type": 1}', b'17 {"newer": 1}', b"1e999 {}"]
)
async def test_a_damaged_announcement_hides_no_other(engine: Engine, damage: bytes) -> None:
    """What cannot be read is passed over."""
    await engine.store.types.announce([version("ab")])
    await engine.client.hset(f"{{emp:{engine.namespace}}}:types", "x|y", damage)

    assert set(await known(engine)) == {f"{TYPE}|ab"}


async def test_what_a_newer_emp_announces_is_read(engine: Engine) -> None:
    """Fields that this version does not know are passed over, so that two releases run side by side."""
    newer = _now() + b' {"job_type":"x","digest":"y","distribution":"d","version":"2","colour":"red"}'
    await engine.client.hset(f"{{emp:{engine.namespace}}}:types", "x|y", newer)

    assert [(one.job_type, one.version) for one in (await known(engine)).values()] == [("x", "2")]


@pytest.mark.every_engine
async def test_paused_types_are_told(engine: Engine) -> None:
    """Pausing twice is pausing once; a resumed type is not paused."""
    for name in (TYPE, TYPE, "test.other"):
        await engine.store.types.pause(name)
    paused = await engine.store.types.paused()

    await engine.store.types.resume(TYPE)

    assert (paused, await engine.store.types.paused()) == ({TYPE, "test.other"}, {"test.other"})


async def test_a_paused_type_still_takes_jobs_and_goes_on_with_running_ones(engine: Engine) -> None:
    """Only the claim is held back."""
    worker, job = await engine.claimed()
    await engine.store.types.pause(TYPE)

    await engine.submit()

    assert await engine.write("complete", worker, job.job_id, job.token) == "OK"
    assert await engine.counts() == {"submitted": 2, "completed": 1, "pending": 1}
