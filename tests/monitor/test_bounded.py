"""No page reads more because there are more jobs: the store is asked the same, and nothing is scanned."""

from __future__ import annotations

import pytest
from redis import Redis

from emp_core.ids import new_job_id
from emp_core.jobs import Submission

pytestmark = pytest.mark.anyio

READS = (
    "hgetall",
    "getrange",
    "get",
    "lrange",
    "zrangebyscore",
    "zrevrangebyscore",
    "zcard",
    "smembers",
    "srandmember",
)
FORBIDDEN = ("keys", "scan", "hscan", "sscan", "zscan", "sort")
PATHS = (
    "/",
    "/?span=day",
    "/jobs",
    "/jobs?state=pending",
    "/jobs?state=pending&job_type=any.thing",
    "/types",
    "/types/any.thing",
    "/workers",
    "/system",
)


def calls(redis: Redis) -> dict[str, int]:
    """Count how often the store was asked what, since the last time."""
    stats = redis.info("commandstats")
    redis.config_resetstat()
    return {name: int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in (*READS, *FORBIDDEN)}


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_asks_the_store_the_same_however_many_jobs_wait(client, worker, redis_url, path):
    async def asked(redis: Redis) -> dict[str, int]:
        await client.get(path)
        calls(redis)
        assert (await client.get(path)).status_code == 200
        return calls(redis)

    async def more(count: int) -> None:
        await worker.store.jobs.submit([Submission(new_job_id(), "any.thing", b"null") for _ in range(count)])

    with Redis.from_url(redis_url) as redis:
        await more(70)
        few = await asked(redis)
        await more(700)
        many = await asked(redis)

    assert all(many[name] <= few[name] + 6 for name in READS), (few, many)
    assert not any(many[name] for name in FORBIDDEN)
