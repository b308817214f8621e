"""simulation.run and simulation.run_blocking, performed as a worker performs them."""

from __future__ import annotations

import pytest

import emp_plugin_simulation
from emp_plugin_simulation import RUN, RUN_BLOCKING
from emp_worker import JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.pytest_plugin import StartWorker
from emp_worker.testing import Cancelled, Completed, Failed, Retry, run_job

both = pytest.mark.parametrize("job_type", [RUN, RUN_BLOCKING], ids=lambda job_type: job_type.name)


@both
def test_every_step_is_done_and_reported(job_type: JobType):
    run = run_job(job_type, {"steps": 4, "step_seconds": 0})

    assert run.result["steps"] == 4
    assert [each.fraction for each in run.progress] == [0.25, 0.5, 0.75, 1.0]
    assert run.progress[-1].message == "step 4 of 4"


@both
def test_the_shortest_documented_payload_completes(job_type: JobType):
    run = run_job(job_type, '{"steps":3,"step_seconds":0.1}')

    assert isinstance(run.outcome, Completed)
    assert run.result["seconds"] >= 0.3


@both
def test_the_first_attempts_fail_as_asked_and_are_retried(job_type: JobType):
    run = run_job(job_type, {"steps": 3, "step_seconds": 0, "fail_attempts": 2}, attempt=2)

    assert isinstance(run.outcome, Retry)
    assert run.error is not None
    assert run.error["code"] == "simulated_failure"
    assert "fails" in run.log[-1].message


@both
def test_the_attempt_after_those_completes_and_says_which_it_was(job_type: JobType):
    run = run_job(job_type, {"steps": 3, "step_seconds": 0, "fail_attempts": 2}, attempt=3)

    assert run.result["attempt"] == 3


def test_the_last_attempt_that_fails_ends_the_job():
    run = run_job(RUN, {"steps": 3, "step_seconds": 0, "fail_attempts": 3}, attempt=3, max_attempts=3)

    assert isinstance(run.outcome, Failed)


def test_a_chance_of_one_always_fails():
    runs = [run_job(RUN, {"steps": 2, "step_seconds": 0, "failure_chance": 1, "seed": seed}) for seed in range(10)]

    assert all(isinstance(run.outcome, Retry) for run in runs)


def test_one_seed_gives_one_course():
    payload = {"steps": 50, "step_seconds": 0, "failure_chance": 1, "seed": 7}

    first, second = run_job(RUN, payload), run_job(RUN, payload)

    assert first.error is not None
    assert second.error is not None
    assert first.error["message"] == second.error["message"]


def test_a_retry_of_a_seeded_job_has_a_chance_of_its_own():
    payload = {"steps": 1, "step_seconds": 0, "failure_chance": 0.5, "seed": 7}

    ends = {type(run_job(RUN, payload, attempt=attempt, max_attempts=30).outcome) for attempt in range(1, 21)}

    assert ends == {Completed, Retry}


def test_the_checksum_follows_from_the_seed():
    payloads = [{"steps": 2, "step_seconds": 0, "seed": seed} for seed in (1, 1, 2)]

    one, again, other = [run_job(RUN, payload).result["checksum"] for payload in payloads]

    assert one == again != other


@both
def test_calling_it_off_stops_it_between_its_steps(job_type: JobType):
    run = run_job(job_type, {"steps": 1_000, "step_seconds": 0.01}, cancel_at=0.002)

    assert isinstance(run.outcome, Cancelled)
    assert len(run.progress) < 10


def test_the_result_carries_as_much_filling_as_asked():
    run = run_job(RUN, {"steps": 1, "step_seconds": 0, "result_size": 5_000})

    assert len(run.result["filling"]) == 5_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", 100_001),
        ("step_seconds", -1),
        ("failure_chance", 1.1),
        ("fail_attempts", -1),
        ("x", 1),
        ("latency", "huge"),
        ("latency_spread", -1),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_place(field: str, value: float):
    run = run_job(RUN, {field: value})

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [f"/{field}"]


@both
def test_a_worker_tries_a_job_again_until_it_comes_through(emp_stack: StartWorker, job_type: JobType):
    payload = {"steps": 2, "step_seconds": 0, "fail_attempts": 2}

    job = emp_stack(emp_plugin_simulation).run(job_type.name, payload)

    assert (job.state, job.result["attempt"]) == ("completed", 3)


@both
def test_the_contract_of_plugins_is_kept(job_type: JobType):
    findings = check_job_type(job_type)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
