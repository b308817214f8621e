"""What a store keeps is read from it, and a submission that must be on a replica is answered when it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emp_core.admission import admit, check
from emp_core.errors import StoreUnavailable, StoreUnfit
from emp_core.ids import new_job_id
from emp_core.jobs import Idempotency, Submission
from emp_core.store import Durability, Level, SubmitWord, open_store
from support.processes import free_port
from support.stores import StartedStore, started_store
from support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.process]

JOB = Submission(new_job_id(), "test.work", b"{}")
KEYED = Submission(new_job_id(), "test.work", b"{}", idempotency=Idempotency("me", "once", "digest"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StartedStore]:
    """Run a store that the test may configure."""
    with started_store(tmp_path / "primary") as store:
        yield store


@pytest.fixture
def replica(own: StartedStore, tmp_path: Path) -> Iterator[StartedStore]:
    """Run a replica of it."""
    with started_store(tmp_path / "replica") as store:
        store.replicates(own)
        wait_until(lambda: own.client.info("replication")["connected_slaves"] == 1)
        yield store


async def read(url: str, *, replicated: bool = False) -> Durability:
    async with open_store(url, "x", replicated=replicated) as store:
        return await store.durability()


@pytest.mark.parametrize(
    ("appendonly", "appendfsync", "level"),
    [
        ("no", "everysec", Level.MEMORY),
        ("yes", "no", Level.PROCESS),
        ("yes", "everysec", Level.PROCESS),
        ("yes", "always", Level.DISK),
    ],
)
async def test_the_level_follows_from_the_append_only_file(
    own: StartedStore, appendonly: str, appendfsync: str, level: Level
) -> None:
    """The configuration in force counts, not what a file says."""
    own.client.config_set("appendonly", appendonly)
    own.client.config_set("appendfsync", appendfsync)

    durability = await read(own.url)

    assert durability.level is level
    assert f"appendonly {appendonly}" in durability.why
    assert (durability.policy, durability.evicts, durability.replicas) == ("noeviction", False, 0)


async def test_level_replica_needs_a_store_that_asks_for_replicas_and_submissions_that_wait(own: StartedStore) -> None:
    """One of them alone is not enough."""
    alone = await read(own.url, replicated=True)
    own.client.config_set("min-replicas-to-write", 1)

    not_waiting, both = await read(own.url), await read(own.url, replicated=True)

    assert [each.level for each in (alone, not_waiting, both)] == [Level.MEMORY, Level.MEMORY, Level.REPLICA]


@pytest.mark.parametrize(
    ("rules", "level"),
    [(["-config"], Level.UNKNOWN), (["-config", "-info"], Level.UNKNOWN)],
    ids=["without CONFIG", "without CONFIG and INFO"],
)
async def test_a_store_that_lets_nobody_read_its_configuration_has_an_unknown_level(
    own: StartedStore, rules: list[str], level: Level
) -> None:
    """As managed stores do; the reason is told, and nothing is assumed."""
    own.client.config_set("appendonly", "yes")
    own.client.execute_command("ACL", "SETUSER", "ann", "on", ">sesame", "~*", "&*", "+@all", *rules)

    durability = await read(f"redis://ann:sesame@127.0.0.1:{own.port}/0")

    assert durability.level is level
    assert "CONFIG" in durability.why
    assert durability.policy == ("" if "-info" in rules else "noeviction")


async def test_without_config_a_store_in_memory_is_still_known_as_such(own: StartedStore) -> None:
    """INFO says whether there is an append-only file."""
    own.client.execute_command("ACL", "SETUSER", "ann", "on", ">sesame", "~*", "&*", "+@all", "-config")

    assert (await read(f"redis://ann:sesame@127.0.0.1:{own.port}/0")).level is Level.MEMORY


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_an_evicting_store_is_refused_with_the_command_that_mends_it(own: StartedStore, policy: str) -> None:
    """It would throw jobs, results or idempotency keys away."""
    own.client.config_set("maxmemory-policy", policy)

    with pytest.raises(StoreUnfit, match=r"CONFIG SET maxmemory-policy noeviction") as raised:
        await admit(own.url, "x")

    assert policy in raised.value.detail
    own.client.config_set("maxmemory-policy", "noeviction")
    await admit(own.url, "x")


async def test_to_wait_for_replicas_that_the_store_does_not_ask_for_is_refused(own: StartedStore) -> None:
    """A primary that is cut off would go on alone."""
    with pytest.raises(StoreUnfit, match="CONFIG SET min-replicas-to-write 1"):
        await admit(own.url, "x", replicated=True)


async def test_a_store_that_does_not_tell_is_not_refused(own: StartedStore) -> None:
    """Nothing is known against it."""
    check(Durability(Level.UNKNOWN, "forbidden", "", 0, None), replicated=True)


async def test_a_wrong_password_is_refused_and_a_store_that_is_away_is_waited_for(own: StartedStore) -> None:
    """Waiting mends only the second."""
    own.client.config_set("requirepass", "sesame")

    with pytest.raises(StoreUnfit, match="redis_url"):
        await admit(own.url, "x")

    await admit(f"redis://127.0.0.1:{free_port()}", "x")


async def test_a_submission_that_a_replica_has_is_answered(own: StartedStore, replica: StartedStore) -> None:
    """And what was answered is on the replica."""
    async with open_store(own.url, "x", replicated=True) as store:
        (answer,) = await store.jobs.submit([JOB])

    assert answer.word is SubmitWord.OK
    assert replica.client.exists(f"{{emp:x:00}}:job:{JOB.job_id}")


async def test_a_submission_that_no_replica_confirms_has_an_unknown_outcome_and_may_be_repeated(
    own: StartedStore, replica: StartedStore
) -> None:
    """The repeat waits too: the first one may still not be on the replica."""
    async with open_store(own.url, "x", replicated=True) as store:
        with replica.frozen():
            unsure = []
            for _ in range(2):
                with pytest.raises(StoreUnavailable) as raised:
                    await store.jobs.submit([KEYED])
                unsure.append(raised.value.may_have_run)
        (answer,) = await store.jobs.submit([KEYED])
        counts = (await store.views.stats()).counts["test.work"]

    assert unsure == [True, True]
    assert (answer.word, answer.job_id, counts["submitted"]) == (SubmitWord.REPEAT, KEYED.job_id, 1)


async def test_nobody_else_waits_for_the_replica(own: StartedStore, replica: StartedStore) -> None:
    """A claim or a read is answered by the primary alone."""
    async with open_store(own.url, "x", replicated=True) as store:
        with replica.frozen():
            await store.types.pause("test.work")

            assert await store.types.paused() == {"test.work"}


async def test_the_durability_of_redis_is_read_as_well(redis_server, tmp_path: Path) -> None:
    """Both engines have the same names for it."""
    with started_store(tmp_path / "redis", "--appendonly", "yes", binary=Path("/usr/bin/redis-server")) as store:
        assert (await read(store.url)).level is Level.PROCESS
