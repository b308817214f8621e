"""The Sentinel URL, and the store behind it: after a failover calls and waits find the new primary by themselves."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from emp_core.errors import SettingsError, StoreUnavailable
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Completed, JobState, Submission
from emp_core.store import Reply, open_store, redacted
from emp_core.store.connection import connect
from emp_core.store.sentinel import SentinelUrl, read_sentinel_url
from support.sentinels import PRIMARY, Watched, watched_stores
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

SECRET = "sesame"  # noqa: S105 - it opens nothing
TYPE = "test.work"


@pytest.mark.parametrize(
    ("url", "read"),
    [
        (
            "redis+sentinel://a:1,b:2/main?db=3",
            SentinelUrl((("a", 1), ("b", 2)), "main", 3, None, None, None, None),
        ),
        ("redis+sentinel://a/main", SentinelUrl((("a", 26379),), "main", 0, None, None, None, None)),
        (
            "redis+sentinel://ann:p%40ss@[::1]:7,b/main?sentinel_username=s&sentinel_password=t%26",
            SentinelUrl((("::1", 7), ("b", 26379)), "main", 0, "ann", "p@ss", "s", "t&"),
        ),
        ("redis+sentinel://:pass@a/main", SentinelUrl((("a", 26379),), "main", 0, None, "pass", None, None)),
    ],
)
def test_a_url_names_sentinels_primary_and_database(url: str, read: SentinelUrl) -> None:
    """The password before the hosts is the store's; the Sentinels have their own."""
    assert read_sentinel_url(url) == read


@pytest.mark.parametrize(
    "url",
    [
        f"redis+sentinel://:{SECRET}@a:1",
        f"redis+sentinel://:{SECRET}@/main",
        f"redis+sentinel://:{SECRET}@a:port/main",
        f"redis+sentinel://:{SECRET}@a:1,/main",
        f"redis+sentinel://:{SECRET}@a:1/main/more",
        f"redis+sentinel://:{SECRET}@a:1/main?db=x",
        f"redis+sentinel://:{SECRET}@a:1/main?sentinel_password={SECRET}&what=1",
    ],
)
async def test_a_url_that_cannot_be_read_is_a_settings_error_without_its_password(url: str) -> None:
    """As every other URL."""
    with pytest.raises(SettingsError, match="redis_url") as raised:
        connect(url)

    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_url_is_shown_without_its_passwords() -> None:
    """The store's, and the Sentinels'."""
    url = f"redis+sentinel://ann:{SECRET}@a:1,b:2/main?sentinel_password={SECRET}&db=1"

    assert redacted(url) == "redis+sentinel://ann:***@a:1,b:2/main?sentinel_password=***&db=1"


async def test_without_a_sentinel_the_store_is_unavailable() -> None:
    """As one that does not run."""
    async with open_store("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main", "x") as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Run a primary, a replica and their Sentinels."""
    with watched_stores(tmp_path, "--appendonly", "yes") as watched:
        yield watched


@pytest.mark.slow
async def test_after_a_failover_everything_goes_on_with_the_new_primary(watched: Watched) -> None:
    """Nothing is opened anew: not for calls, not for waits; and an old token is still refused."""
    async with open_store(watched.url, "x") as store:
        worker, job = new_worker_id(), Submission(new_job_id(), TYPE, b"{}")
        await store.workers.register(worker, {})
        await store.jobs.submit([job])
        (old,) = (await store.jobs.claim(worker, 1, {TYPE: 1}, 1)).jobs
        await store.workers.leave(worker, "killed")
        await store.jobs.recover()
        await store.doorbell.wait(worker, [TYPE], 0.1)
        watched.first.client.wait(1, 5000)

        watched.fail_over()

        async def answers() -> bool:
            try:
                return await store.views.get([job.job_id]) != [None]
            except StoreUnavailable:
                return False

        await wait_until_async(answers, 30)
        other = new_worker_id()
        await store.workers.register(other, {})
        (new,) = (await store.jobs.claim(other, 1, {TYPE: 1}, 1)).jobs
        late = await store.jobs.complete(worker, [Completed(old.job_id, old.token, b"1")])
        done = await store.jobs.complete(other, [Completed(new.job_id, new.token, b"2")])
        await store.jobs.submit([Submission(new_job_id(), TYPE, b"{}")])

        assert (late, done) == ([Reply.LEASE_LOST], [Reply.OK])
        assert new.token != old.token
        assert await store.doorbell.wait(other, [TYPE], 1.0) is not None
        (stored,) = await store.views.get([job.job_id])
        assert stored is not None
        assert stored.state is JobState.COMPLETED


@pytest.mark.slow
async def test_a_primary_that_became_a_replica_is_left(watched: Watched) -> None:
    """It answers still, but READONLY: the connections to it are given up, and the next call finds the new one."""
    async with open_store(watched.url, "x") as store:
        await store.jobs.submit([Submission(new_job_id(), TYPE, b"{}")])
        with redis.Redis(port=watched.sentinel_ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", PRIMARY)
        await wait_until_async(watched.is_failed_over, 30)

        async def submitted() -> bool:
            try:
                await store.jobs.submit([Submission(new_job_id(), TYPE, b"{}")])
            except StoreUnavailable:
                return False
            return True

        await wait_until_async(submitted, 30)

        assert watched.second.client.dbsize() > 0
        assert watched.first.client.ping()
