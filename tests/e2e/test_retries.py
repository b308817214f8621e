"""Retries over HTTP: the policy of a submission, the policy of a job type, and what each attempt leaves behind."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version

from emp_core.client import JobView
from emp_core.jobs import Backoff
from support.processes import StartedProcess
from support.waiting import wait_until

from .conftest import Stack


def final(stack: Stack, job_id: str) -> JobView:
    """Wait until a job has ended, and read it."""
    return wait_until(lambda: job if (job := stack.client.get(job_id)).final else None, timeout=20)


def test_a_submissions_own_policy_decides_how_often_and_when(stack: Stack, worker: StartedProcess) -> None:
    """Attempts, base, factor, cap and jitter are the submission's; the third attempt waits for the cap only."""
    policy = Backoff(timedelta(seconds=0.3), 10.0, timedelta(seconds=0.6), 0.0)
    sent = stack.client.submit(
        "simulation.run", {"steps": 1, "step_seconds": 0, "fail_attempts": 9}, max_attempts=3, backoff=policy
    )

    job = final(stack, sent.id)

    assert (job.state, job.reason, job.attempt) == ("failed", "error", 3)
    pauses = [
        (after.claimed_at - before.ended_at).total_seconds()
        for before, after in zip(job.attempts, job.attempts[1:], strict=False)
        if before.ended_at is not None and after.claimed_at is not None
    ]
    assert 0.3 <= pauses[0] < 1.3
    assert 0.6 <= pauses[1] < 1.6


def test_a_backoff_of_nothing_tries_again_at_once(stack: Stack, worker: StartedProcess) -> None:
    """Zero is a wish like any other, not the absence of one."""
    sent = stack.client.submit(
        "simulation.run",
        {"steps": 1, "step_seconds": 0, "fail_attempts": 1},
        backoff=Backoff(timedelta(0), 1.0, timedelta(0), 0.0),
    )

    job = final(stack, sent.id)

    assert job.state == "completed"
    assert job.attempts[0].ended_at is not None
    assert job.attempts[1].claimed_at is not None
    assert job.attempts[1].claimed_at - job.attempts[0].ended_at < timedelta(seconds=1.5)


def test_each_attempt_says_who_made_it_when_and_how_it_ended(stack: Stack, worker: StartedProcess) -> None:
    """Worker, plugin version, times, and the error with its traceback; the last one completed."""
    sent = stack.client.submit(
        "simulation.run",
        {"steps": 1, "step_seconds": 0, "fail_attempts": 1},
        backoff=Backoff(timedelta(seconds=0.01), 1.0, timedelta(seconds=0.01), 0.0),
    )

    job = final(stack, sent.id)

    (serving,) = stack.client.workers()
    failed, completed = job.attempts
    assert [(each.number, each.outcome) for each in job.attempts] == [(1, "retry"), (2, "completed")]
    assert {each.worker_id for each in job.attempts} == {serving.id}
    assert {each.plugin_version for each in job.attempts} == {version("emp-plugin-simulation")}
    assert all(each.claimed_at and each.ended_at and each.claimed_at <= each.ended_at for each in job.attempts)
    assert (failed.error["kind"], failed.error["code"]) == ("JobError", "simulated_failure")
    assert "simulation.py" in failed.error["traceback"]
    assert completed.error is None


def test_a_job_types_policy_holds_where_the_submission_says_nothing(stack: Stack, worker: StartedProcess) -> None:
    """As many attempts as the type announces."""
    announced = next(each for each in stack.client.job_types() if each.job_type == "simulation.run")
    sent = stack.client.submit("simulation.run", {"steps": 1, "step_seconds": 0})

    assert final(stack, sent.id).max_attempts == announced.options["max_attempts"]
