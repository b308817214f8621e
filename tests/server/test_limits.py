"""What is beyond a limit is refused, and said; what is within it is not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from emp_core.api_keys import Scope, new_key
from emp_core.errors import Overloaded, RateLimited, StoreFull, WaitingLineFull
from emp_core.store import Memory, StoreLoad
from emp_server.callers import ANYONE, caller_of
from emp_server.crowd import Crowd
from emp_server.pressure import Pressure
from emp_server.rates import Rates
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings
from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import running, stored_jobs, submit

pytestmark = pytest.mark.anyio

BODY = {"job_type": "any.thing", "payload": 1}


@asynccontextmanager
async def served(settings, **changes):
    """Give a client of a server with other settings."""
    with running(settings.model_copy(update=changes)) as server:
        async with asking(server.url) as client:
            client.server = server
            yield client


# Submissions at once.


async def test_more_than_so_many_at_once_are_refused_and_nothing_is_stored_of_them(settings, store):
    async with served(settings, submissions_at_once=3) as client:
        answers = await asyncio.gather(*(client.post("/v1/jobs", json=BODY) for _ in range(100)))

        statuses = [answer.status_code for answer in answers]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert set(statuses) <= {202, 503}
        assert await stored_jobs(store) == statuses.count(202)
        assert all(answer.headers["retry-after"] == "1" for answer in refused)
        assert all(answer.json()["type"] == "urn:emp:problem:overloaded" for answer in refused)
        assert all(answer.json()["outcome"] == "not_done" for answer in refused)
        # Afterwards there is room again.
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202


def test_room_is_given_back_however_a_submission_ends():
    refusals = Refusals()
    crowd = Crowd(ServerSettings(submissions_at_once=1), refusals)

    with pytest.raises(ZeroDivisionError), crowd.working({}):
        raise ZeroDivisionError
    with crowd.working({}), pytest.raises(Overloaded), crowd.working({}):
        pass

    assert (crowd.submissions, refusals.counts["overloaded"]) == (0, 1)


async def test_who_waits_for_the_end_of_a_job_keeps_nobody_out(settings, store):
    async with served(settings, submissions_at_once=1) as client:
        waiting = asyncio.create_task(client.post("/v1/jobs?wait=20", json=BODY))
        await wait_until_async(lambda: _stored(store, 1))

        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202

        waiting.cancel()


async def _stored(store, count):
    return await stored_jobs(store) == count


async def test_large_bodies_share_a_room_in_memory(settings, store):
    large = {"job_type": "any.thing", "payload": "x" * 300_000}
    async with served(settings, bodies_limit_bytes=200_000) as client:
        refused = await client.post("/v1/jobs", json=large)

        assert (refused.status_code, refused.json()["type"]) == (503, "urn:emp:problem:overloaded")
        assert (await client.post("/v1/jobs", json={**large, "payload": "x" * 100_000})).status_code == 202
        assert client.server.server.app.parts.crowd.body_bytes == 0


# Rates.


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


def test_a_bucket_holds_a_second_and_fills_as_time_passes():
    clock, refusals = Clock(), Refusals()
    rates = Rates(10, 1, refusals, clock)

    for _ in range(10):
        rates.charge(ANYONE)
    with pytest.raises(RateLimited) as refused:
        rates.charge(ANYONE)
    clock.now += 0.1
    rates.charge(ANYONE)

    assert (refused.value.limit, refused.value.retry_after) == (10, 1)
    assert refusals.counts["rate-limited"] == 1


def test_a_batch_may_overdraw_and_is_paid_off():
    clock = Clock()
    rates = Rates(10, 1, Refusals(), clock)

    rates.charge(ANYONE, 100)
    with pytest.raises(RateLimited) as refused:
        rates.charge(ANYONE)
    clock.now += refused.value.retry_after
    rates.charge(ANYONE)

    assert refused.value.retry_after == 10


def test_keys_have_buckets_of_their_own_and_rates_of_their_own():
    rates = Rates(1, 1, Refusals(), Clock())
    quick, _ = new_key("quick", [Scope.SUBMIT], rate=3)
    slow, _ = new_key("slow", [Scope.SUBMIT])

    for _ in range(3):
        rates.charge(caller_of(quick))
    rates.charge(caller_of(slow))

    for key in (quick, slow):
        with pytest.raises(RateLimited):
            rates.charge(caller_of(key))


def test_the_processes_of_a_server_share_a_rate():
    rates = Rates(10, 5, Refusals(), Clock())

    rates.charge(ANYONE)
    rates.charge(ANYONE)

    with pytest.raises(RateLimited):
        rates.charge(ANYONE)


async def test_a_rate_is_told_with_every_submission_and_its_end_with_a_refusal(settings, store):
    async with served(settings, submissions_per_second=2) as client:
        answers = [await client.post("/v1/jobs", json=BODY) for _ in range(20)]

        taken, refused = answers[0], answers[-1] if answers[-1].status_code == 429 else None
        refused = refused or next(answer for answer in answers if answer.status_code == 429)
        assert taken.status_code == 202
        assert taken.headers["ratelimit-policy"] == '"submissions";q=2;w=1'
        assert taken.headers["ratelimit"] == '"submissions";r=1;t=1'
        assert refused.headers["ratelimit"] == '"submissions";r=0;t=1'
        assert (refused.headers["retry-after"], refused.json()["limit"]) == ("1", 2)
        batch = await client.post("/v1/jobs/batch", json=[BODY])
        typed = await client.post("/v1/job-types/any.thing/jobs", json=1)
        assert {batch.status_code, typed.status_code} <= {200, 202, 429}


async def test_a_check_of_a_payload_is_charged_as_a_submission_is(settings, store):
    async with served(settings, submissions_per_second=2) as client:
        answers = [await client.post("/v1/job-types/any.thing/validate", json=1) for _ in range(20)]

        assert answers[0].status_code == 204
        assert answers[0].headers["ratelimit"] == '"submissions";r=1;t=1'
        assert any(answer.status_code == 429 for answer in answers)


# The store.


def load(used=0, limit=0, waiting=0):
    return StoreLoad(Memory(used, limit, "noeviction"), waiting)


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (load(used=90, limit=100), None),
        (load(used=91, limit=100), StoreFull),
        (load(used=10**12), None),
        (load(waiting=9), None),
        (load(waiting=10), WaitingLineFull),
    ],
)
async def test_what_was_seen_of_the_store_decides(store, seen, error):
    pressure = Pressure(store, ServerSettings(waiting_limit=10), Refusals())

    assert type(pressure.reason_of(seen)) is (error or type(None))


async def test_so_many_jobs_wait_in_all_and_no_more(settings, store):
    async with served(settings, waiting_limit=2) as client:
        for _ in range(2):
            await submit(client)

        async def refused():
            return (await client.post("/v1/jobs", json=BODY)).status_code == 429

        await wait_until_async(refused)
        for path, body in (("/v1/jobs/batch", [BODY]), ("/v1/job-types/any.thing/jobs", 1)):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["type"]) == (429, "urn:emp:problem:waiting-line-full")


# Streams.


async def test_a_client_has_so_many_streams_and_closing_one_makes_room(settings, store):
    async with served(settings, streams_per_client=2) as client:
        async with client.stream("GET", "/v1/events"), client.stream("GET", "/ui/live"):
            refused = await client.get("/v1/events")
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:emp:problem:too-many-streams")
            assert refused.headers["retry-after"] == "5"

        crowd = client.server.server.app.parts.crowd

        async def ended():
            return crowd.streams == 0

        await wait_until_async(ended)
        async with client.stream("GET", "/v1/events") as again:
            assert again.status_code == 200
