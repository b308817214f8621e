"""Both clients against a real server, a real store and a real worker."""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import emp_core.client
from emp_core.client import AsyncEmpClient, EmpClient, JobRequest, JobView, RawJson
from emp_core.errors import (
    EmpError,
    IdempotencyKeyReused,
    InvalidPayload,
    InvalidRequest,
    JobNotFound,
    NotFound,
    StateConflict,
    UnknownJobType,
    WaitTimedOut,
    WorkerNotFound,
)
from emp_core.ids import new_job_id, new_worker_id

pytestmark = pytest.mark.anyio

NOBODY = "01hzzzzzzzzzzzzzzzzzzzzz00"
QUICK = {"steps": 1, "step_seconds": 0}
LONG = {"steps": 600, "step_seconds": 0.1}


@pytest.fixture
def client(emp_url):
    with EmpClient(emp_url) as client:
        yield client


@pytest.fixture
async def async_client(emp_url):
    async with AsyncEmpClient(emp_url) as client:
        yield client


@pytest.fixture
def running(client):
    """A job that runs for a minute unless it is cancelled."""
    job = client.submit("simulation.run", LONG)
    yield next(update.job_id for update in client.watch(job.id) if update.progress.fraction > 0)
    client.cancel(job.id)


def test_a_submitted_job_can_be_waited_for(client):
    job = client.submit("simulation.run", QUICK, tags=["a"], priority=3)

    ended = client.wait(job.id, timeout=20)

    assert (ended.state, ended.result["steps"], ended.tags, ended.priority) == ("completed", 1, ("a",), 3)
    assert ended.final


def test_a_submission_can_wait_for_the_end_itself(client):
    assert client.submit("simulation.run", QUICK, wait=20).state == "completed"


def test_a_job_that_fails_is_waited_for_like_any_other(client):
    job = client.submit("simulation.run", {**QUICK, "fail_attempts": 9}, max_attempts=1)

    ended = client.wait(job.id, timeout=20)

    assert (ended.state, ended.reason) == ("failed", "error")
    assert "failed" in ended.error["message"]
    assert ended.attempts[0].outcome == "failed"


def test_a_job_with_a_delay_is_scheduled_for_then(client):
    job = client.submit("simulation.run", QUICK, delay=timedelta(hours=1))

    assert job.state == "scheduled"
    assert timedelta(minutes=59) < job.scheduled_at - datetime.now(UTC) < timedelta(minutes=61)
    client.cancel(job.id)


def test_a_payload_and_a_result_come_back_byte_for_byte(client):
    sent = b'{ "steps":1,\n "step_seconds" : 0.0e0 }'
    job = client.submit("simulation.run", RawJson(sent), wait=20)

    assert client.payload_bytes(job.id) == sent
    assert client.result(job.id) == json.loads(client.result_bytes(job.id)) == job.result


def test_waiting_too_long_is_an_error_and_leaves_the_job(client, running):
    with pytest.raises(WaitTimedOut):
        client.wait(running, timeout=0.2)

    assert client.get(running).state == "in_progress"


def test_watching_shows_progress_and_ends_with_the_final_state(client):
    job = client.submit("simulation.run", {"steps": 4, "step_seconds": 0.1})

    updates = list(client.watch(job.id))

    fractions = [update.progress.fraction for update in updates]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)
    assert [update.final for update in updates] == [False] * (len(updates) - 1) + [True]


def test_watching_a_final_job_gives_its_state_once(client):
    job = client.submit("simulation.run", QUICK, wait=20)

    assert [update.state for update in client.watch(job.id)] == ["completed"]


def test_a_running_job_can_be_cancelled(client, running):
    client.cancel(running, "not needed")

    assert client.wait(running, timeout=20).state == "cancelled"
    assert client.get(running).cancel_request["why"] == "not needed"


def test_a_completed_job_cannot_be_cancelled(client):
    job = client.submit("simulation.run", QUICK, wait=20)

    with pytest.raises(StateConflict) as caught:
        client.cancel(job.id)

    assert caught.value.state == "completed"


def test_a_cancelled_job_can_be_revived(client):
    job = client.submit("simulation.run", QUICK, delay=3600)
    client.cancel(job.id)

    client.revive(job.id)

    assert client.wait(job.id, timeout=20).state == "completed"


def test_a_running_job_has_no_result_yet(client, running):
    with pytest.raises(StateConflict) as caught:
        client.result(running)

    assert caught.value.state == "in_progress"


def test_the_log_can_be_read_from_a_line_on(client):
    job = client.submit("simulation.run", {"steps": 3, "step_seconds": 0}, wait=20)
    lines = client.log(job.id)

    assert len(lines) > 1
    assert client.log(job.id, start=1) == lines[1:]


def test_one_key_makes_one_job(client):
    key = new_job_id()

    first, second = (client.submit("simulation.run", QUICK, idempotency_key=key) for _ in range(2))

    assert first.id == second.id
    with pytest.raises(IdempotencyKeyReused):
        client.submit("simulation.run", {**QUICK, "steps": 2}, idempotency_key=key)


def test_many_jobs_are_answered_one_by_one_in_order(client):
    requests = [JobRequest("simulation.run", {**QUICK, "seed": number}) for number in range(1200)]
    requests[7] = JobRequest("simulation.run", {"steps": 0})
    requests[1100] = JobRequest("simulation.rum", {})

    answers = client.submit_many(requests)

    assert len(answers) == 1200
    assert {number for number, each in enumerate(answers) if isinstance(each, EmpError)} == {7, 1100}
    assert isinstance(answers[7], InvalidPayload)
    assert isinstance(answers[1100], UnknownJobType)
    last = answers[-1]
    assert isinstance(last, JobView)
    assert json.loads(client.payload_bytes(last.id))["seed"] == 1199


def test_a_payload_that_does_not_fit_says_where(client):
    with pytest.raises(InvalidPayload) as caught:
        client.submit("simulation.run", {"steps": 0, "step_seconds": "x"})

    assert {fault.pointer for fault in caught.value.faults} == {"/steps", "/step_seconds"}


def test_an_unknown_type_comes_with_near_names(client):
    with pytest.raises(UnknownJobType) as caught:
        client.submit("simulation.rum", {})

    assert "simulation.run" in caught.value.near


@pytest.mark.parametrize("job_id", [NOBODY, "x", "../workers", "a?b#c", "ü", "", ".", ".."])
def test_an_unknown_job_is_not_found_whatever_its_id(client, job_id):
    with pytest.raises(NotFound):
        client.get(job_id)
    with pytest.raises(NotFound):
        next(client.watch(job_id))


def test_a_list_goes_on_over_its_pages(client):
    tag = f"t{new_job_id()}"
    client.submit_many([JobRequest("simulation.run", QUICK, delay=3600, tags=[tag])] * 120)

    found = [job.id for job in client.jobs(tag=tag)]

    assert len(found) == len(set(found)) == 120


def test_a_list_that_no_index_serves_names_those_that_are_served(client):
    with pytest.raises(InvalidRequest, match="jobs can be listed by"):
        list(client.jobs(job_type="simulation.run"))


def test_the_job_types_are_listed_and_shown(client):
    assert "simulation.run" in [each.job_type for each in client.job_types()]
    assert "steps" in client.job_type("simulation.run").payload_schema["properties"]


def test_the_workers_are_listed(client):
    [worker] = client.workers()

    assert "simulation.run" in worker.types
    assert worker.slots > 0


def test_a_worker_that_does_not_exist_cannot_be_drained(client):
    with pytest.raises(WorkerNotFound):
        client.drain(new_worker_id())


def test_the_counts_are_shown(client):
    client.submit("simulation.run", QUICK, wait=20)

    assert client.stats().counts["simulation.run"]["completed"] > 0


async def test_the_asynchronous_client_submits_watches_and_reads(async_client):
    job = await async_client.submit("simulation.run", {"steps": 3, "step_seconds": 0.05})

    states = [update.state async for update in async_client.watch(job.id)]
    ended = await async_client.wait(job.id)

    assert states[-1] == ended.state == "completed"
    assert await async_client.result(job.id) == ended.result


async def test_the_asynchronous_client_lists_over_pages(async_client):
    tag = f"t{new_job_id()}"
    await async_client.submit_many([JobRequest("simulation.run", QUICK, delay=3600, tags=[tag])] * 60)

    assert len([job async for job in async_client.jobs(tag=tag)]) == 60


async def test_the_asynchronous_client_raises_the_servers_errors(async_client):
    with pytest.raises(UnknownJobType):
        await async_client.submit("simulation.rum", {})
    with pytest.raises(JobNotFound):
        await async_client.get(new_job_id())


async def test_the_asynchronous_client_waits_with_a_limit(async_client):
    job = await async_client.submit("simulation.run", QUICK, delay=3600)

    with pytest.raises(WaitTimedOut):
        await async_client.wait(job.id, timeout=0.2)


def test_both_clients_have_the_same_methods():
    def methods(kind):
        public = {name: inspect.signature(getattr(kind, name)) for name in vars(kind) if not name.startswith("_")}
        closing = public.pop("close", None) or public.pop("aclose")
        return {name: list(signature.parameters.values()) for name, signature in public.items()}, closing

    assert methods(EmpClient)[0] == methods(AsyncEmpClient)[0]


def test_the_reference_names_every_public_name_and_method():
    page = Path(__file__).parents[2].joinpath("docs/reference/client.md").read_text()
    methods = {name for name in vars(EmpClient) if not name.startswith("_")}

    assert emp_core.client.__all__ == sorted(emp_core.client.__all__)
    assert set(emp_core.client.__all__) | methods <= set(re.findall(r"`(\w+)", page))
