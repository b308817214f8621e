"""Views: reading one job, lists by the indexes there are, and counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from emp_core.errors import InvalidRequest
from emp_core.ids import JobId, new_job_id, new_worker_id
from emp_core.jobs import JobState
from emp_core.store import CancelAsk, JobFilter

from .conftest import OUTCOMES, TYPE, Engine

pytestmark = pytest.mark.anyio


async def pages(engine: Engine, wanted: JobFilter, limit: int) -> list[list[JobId]]:
    """Read a list to its end, page by page."""
    found: list[list[JobId]] = []
    cursor: str | None = None
    while True:
        page = await engine.store.views.list(wanted, cursor, limit)
        found.append([job.job_id for job in page.jobs])
        cursor = page.next_cursor
        if cursor is None:
            return found


async def many(engine: Engine, count: int, **fields: object) -> list[JobId]:
    """Submit many jobs in few calls, so that hundreds have the same millisecond."""
    ids = [new_job_id() for _ in range(count)]
    await engine.submit(*ids, **fields)
    return ids


async def test_a_job_that_is_not_there_is_none(engine: Engine) -> None:
    """Each read says so in its way, and nothing is made up."""
    views, missing = engine.store.views, new_job_id()
    job_id = await engine.submit()

    assert await views.get([missing, job_id, missing]) == [None, await engine.job(job_id), None]
    assert (await views.details(missing), await views.payload(missing), await views.result(missing)) == (
        None,
        None,
        None,
    )
    assert await views.log(missing) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "strange"),
        ("created_at", "1e300"),
        ("created_at", ""),
        ("priority", "x"),
        ("reason", "none"),
        ("type", b"\xff"),
    ],
)
async def test_a_record_that_cannot_be_read_is_no_job(engine: Engine, field: str, value: str) -> None:
    """A damaged record does not spoil the list that it stands in."""
    broken, sound = await many(engine, 2)
    await engine.client.hset(engine.keys("job", broken), field, value)

    assert await engine.store.views.get([broken]) == [None]
    assert await engine.store.views.details(broken) is None
    assert await pages(engine, JobFilter(state="pending", job_type=TYPE), 5) == [[sound]]


async def test_unknown_fields_are_passed_over(engine: Engine) -> None:
    """A newer EMP may have written the record."""
    job_id = await engine.submit()
    await engine.client.hset(engine.keys("job", job_id), "newer", "field")

    assert (await engine.job(job_id)).state is JobState.PENDING


async def test_the_version_changes_with_every_change(engine: Engine) -> None:
    """And only then: it is what a client compares."""
    worker, job = await engine.claimed()
    versions = [(await engine.job(job.job_id)).version for _ in range(2)]
    for verb in ("start", "report", "complete"):
        await engine.write(verb, worker, job.job_id, job.token)
        versions.append((await engine.job(job.job_id)).version)

    assert versions[0] == versions[1]
    assert len(set(versions)) == 4


async def test_details_tell_a_pending_jobs_position(engine: Engine) -> None:
    """0 is the next to be claimed; a job that does not wait in line has none."""
    first, second, third = await many(engine, 3)
    urgent = await engine.submit(priority=1)
    later = await engine.submit(delay=timedelta(minutes=1))

    details = [await engine.store.views.details(job_id) for job_id in (urgent, first, second, third, later)]

    assert [found.position for found in details if found] == [0, 1, 2, 3, None]


async def test_details_tell_the_result_of_the_last_attempt(engine: Engine) -> None:
    """The attempt that ended the job stands last, with its times."""
    worker, job = await engine.claimed()
    await engine.write("retry", worker, job.job_id, job.token)
    await engine.pass_time(seconds=11)
    await engine.sweep()
    (again,) = await engine.claim(worker)
    await engine.write("complete", worker, again.job_id, again.token)

    details = await engine.store.views.details(job.job_id)

    assert details is not None
    assert [(end.number, end.outcome) for end in details.attempts] == [(1, "retry"), (2, "completed")]
    assert details.result == b'{"n": 1}'
    assert details.attempts[1].ended_at == details.job.finished_at


@pytest.mark.every_engine
async def test_waiting_jobs_are_listed_in_the_order_of_their_claim(engine: Engine) -> None:
    """A type's line from its head."""
    low = await engine.submit(priority=-5)
    ids = await many(engine, 7)
    high = await engine.submit(priority=5)

    assert await pages(engine, JobFilter(state="pending", job_type=TYPE), 4) == [
        [high, *ids[:3]],
        ids[3:7],
        [low],
    ]


async def test_waiting_jobs_of_all_types_are_listed_in_the_order_of_urgency(engine: Engine) -> None:
    """The lines of all types are merged, page by page."""
    wanted = []
    for n in range(40):
        priority = n % 3
        wanted.append((-priority, n, await engine.submit(job_type=f"test.t{n % 5}", priority=priority)))
    in_order = [job_id for _, _, job_id in sorted(wanted)]

    found = await pages(engine, JobFilter(state="pending"), 7)

    assert [job_id for page in found for job_id in page] == in_order
    assert [len(page) for page in found] == [7, 7, 7, 7, 7, 5]


async def test_scheduled_jobs_are_listed_by_the_time_they_are_due(engine: Engine) -> None:
    """The next one first."""
    late = await engine.submit(delay=timedelta(minutes=2))
    soon = await engine.submit(delay=timedelta(minutes=1))

    assert await pages(engine, JobFilter(state="scheduled"), 1) == [[soon], [late]]


@pytest.mark.parametrize("limit", [49, 449, 450])
@pytest.mark.parametrize(
    "wanted",
    [JobFilter(state="cancelled"), JobFilter(state="cancelled", job_type=TYPE), JobFilter(tag="red")],
    ids=["state", "state and type", "tag"],
)
async def test_the_pages_of_a_list_hold_every_job_once(engine: Engine, wanted: JobFilter, limit: int) -> None:
    """Also where hundreds of jobs have the same millisecond."""
    ids = await many(engine, 450, tags=("red",), expires_in=timedelta(days=1))
    await engine.store.jobs.cancel([CancelAsk(job_id, "tester") for job_id in ids])

    found = await pages(engine, wanted, limit)

    assert sorted(job_id for page in found for job_id in page) == sorted(ids)
    assert {len(page) for page in found[:-1]} <= {limit}


@pytest.mark.every_engine
async def test_final_jobs_are_listed_newest_first(engine: Engine) -> None:
    """Per state, and per state and type."""
    ids = []
    for n in range(4):
        job_id = await engine.submit(job_type=f"test.t{n % 2}")
        await engine.store.jobs.cancel([CancelAsk(job_id, "tester")])
        await engine.pass_time(milliseconds=1)
        ids.append(job_id)

    assert await pages(engine, JobFilter(state="cancelled"), 9) == [ids[::-1]]
    assert await pages(engine, JobFilter(state="cancelled", job_type="test.t1"), 9) == [[ids[3], ids[1]]]


async def test_jobs_that_leave_a_list_hide_none_of_the_next_page(engine: Engine) -> None:
    """A line moves while one pages through it: workers claim what the last page showed."""
    ids = await many(engine, 6)
    page = await engine.store.views.list(JobFilter(state="pending", job_type=TYPE), None, 2)
    await engine.claim(await engine.worker(), 2)

    after = await engine.store.views.list(JobFilter(state="pending", job_type=TYPE), page.next_cursor, 2)

    assert [job.job_id for job in after.jobs] == ids[2:4]


async def test_a_revived_job_hides_none_of_its_neighbours(engine: Engine) -> None:
    """The same within one millisecond, where the ids order the list."""
    ids = sorted(await many(engine, 6), reverse=True)
    await engine.store.jobs.cancel([CancelAsk(job_id, "tester") for job_id in ids])
    page = await engine.store.views.list(JobFilter(state="cancelled"), None, 3)
    await engine.store.jobs.revive([page.jobs[0].job_id, page.jobs[2].job_id])

    after = await engine.store.views.list(JobFilter(state="cancelled"), page.next_cursor, 3)

    assert [job.job_id for job in after.jobs] == ids[3:]


@pytest.mark.every_engine
async def test_running_jobs_are_listed_and_told_apart(engine: Engine) -> None:
    """`running` is both claimed and in progress."""
    ids = await many(engine, 4)
    worker = await engine.worker()
    for job in await engine.claim(worker, 2):
        await engine.write("start", worker, job.job_id, job.token)
    await engine.pass_time(milliseconds=5)
    await engine.claim(worker, 2)

    found = {
        state: sorted(job_id for page in await pages(engine, JobFilter(state=state), 3) for job_id in page)
        for state in ("running", "claimed", "in_progress")
    }

    assert found == {"running": sorted(ids), "claimed": sorted(ids[2:]), "in_progress": sorted(ids[:2])}


async def test_a_workers_jobs_are_listed(engine: Engine) -> None:
    """Every one once, over pages; a worker that is not there has none."""
    ids = await many(engine, 5)
    worker = await engine.worker()
    await engine.claim(worker, 5)
    await many(engine, 2)

    found = await pages(engine, JobFilter(worker=worker), 2)

    assert sorted(job_id for page in found for job_id in page) == sorted(ids)
    assert [len(page) for page in found] == [2, 2, 1]
    assert await pages(engine, JobFilter(worker=worker, state="running"), 9) == [sorted(ids, reverse=True)]
    assert await pages(engine, JobFilter(worker=new_worker_id()), 9) == [[]]


@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(),
        JobFilter(job_type=TYPE),
        JobFilter(state="scheduled", job_type=TYPE),
        JobFilter(state="running", job_type=TYPE),
        JobFilter(state="claimed", job_type=TYPE),
        JobFilter(tag="red", state="failed"),
        JobFilter(tag="red", state="pending"),
        JobFilter(tag="red", job_type=TYPE),
        JobFilter(tag="red", worker="w"),
        JobFilter(worker="w", state="failed"),
        JobFilter(worker="w", job_type=TYPE),
        JobFilter(state="nonsense"),
    ],
    ids=str,
)
async def test_a_combination_that_no_index_serves_is_refused(engine: Engine, wanted: JobFilter) -> None:
    """Nothing is scanned; the error names what can be asked."""
    with pytest.raises(InvalidRequest, match="state and job_type"):
        await engine.store.views.list(wanted, None, 10)


@pytest.mark.parametrize(
    "cursor",
    ["", "1", "1,2", ",", "-1,0" + "a" * 25, "x" * 30, "1," + "A" * 26, "+inf," + "a" * 26, "1," + "a" * 26 + "\n"],
)
async def test_a_cursor_that_no_page_gave_is_refused(engine: Engine, cursor: str) -> None:
    """It comes from outside and may be anything."""
    with pytest.raises(InvalidRequest, match="cursor"):
        await engine.store.views.list(JobFilter(state="failed"), cursor, 10)


@pytest.mark.every_engine
async def test_counts_are_by_type_and_state(engine: Engine) -> None:
    """Live states as they are, totals as they grew."""
    worker, job = await engine.claimed()
    await engine.write("start", worker, job.job_id, job.token)
    await many(engine, 2)
    await engine.submit(delay=timedelta(minutes=1))
    await engine.submit(job_type="test.other")

    assert await engine.counts() == {"submitted": 4, "in_progress": 1, "pending": 2, "scheduled": 1}
    assert await engine.counts("test.other") == {"submitted": 1, "pending": 1}


@pytest.mark.every_engine
async def test_the_last_hour_is_told_minute_by_minute(engine: Engine) -> None:
    """Sixty minutes, the present one last, each with what was submitted and how it ended."""
    jobs = [await engine.claimed() for _ in range(3)]
    for verb, (worker, job) in zip(("complete", "fail", "cancel"), jobs, strict=True):
        if verb == "cancel":
            await engine.ask_cancel(job.job_id)
        await engine.store.jobs.settle(worker, [OUTCOMES[verb](job.job_id, job.token)])

    minutes = (await engine.store.views.stats()).minutes

    steps = {later["minute"] - sooner["minute"] for sooner, later in pairwise(minutes)}
    # The test may run over the end of a minute.
    sums = {
        what: sum(minute[what].get(TYPE, 0) for minute in minutes[-2:]) for what in ("submitted", "completed", "failed")
    }
    assert (len(minutes), steps) == (60, {timedelta(minutes=1)})
    assert abs(minutes[-1]["minute"] - datetime.now(UTC)) < timedelta(minutes=2)
    assert sums == {"submitted": 3, "completed": 1, "failed": 1}


@pytest.mark.every_engine
async def test_the_oldest_pending_job_of_each_type_is_told(engine: Engine) -> None:
    """Whatever its priority; types where nothing waits are left out."""
    oldest = await engine.submit(priority=-1)
    await engine.pass_time(seconds=5)
    await engine.submit(priority=1)
    await engine.claimed(job_type="test.other")

    stats = await engine.store.views.stats()

    assert stats.oldest_pending == {TYPE: (await engine.job(oldest)).created_at}
