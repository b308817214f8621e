"""The fixture `emp_stack`: a worker and a store in memory, for tests of plugins."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from emp_core.errors import UnknownJobType
from emp_core.jobs import Reason
from emp_worker import InvalidJobType, JobContext, JobError, JobType, hookimpl
from emp_worker.pytest_plugin import StartWorker
from emp_worker.testing import LogLine


class Text(BaseModel):
    """A text."""

    text: str = ""


async def shout(payload: Text, job: JobContext) -> str:
    job.progress(0.5, "half way")
    job.log.info("shouting")
    return payload.text.upper()


async def nan(payload: Text) -> list[float]:
    return [math.nan, 1.0]


async def third_time_lucky(payload: Text, job: JobContext) -> int:
    if job.attempt < 3:
        raise JobError("not yet", code="early")
    return job.attempt


def endless(payload: Text, job: JobContext) -> None:
    while True:
        job.raise_if_cancelled()
        time.sleep(0.01)


SHOUT, LUCKY, ENDLESS = JobType("a.shout", shout), JobType("a.lucky", third_time_lucky), JobType("a.endless", endless)


def test_a_job_is_claimed_performed_and_stored(emp_stack: StartWorker):
    job = emp_stack(SHOUT).run("a.shout", {"text": "hey"})

    assert (job.state, job.result, job.attempt) == ("completed", "HEY", 1)
    assert job.progress.message == "half way"
    assert job.log == (LogLine("info", "shouting"),)


def test_a_result_that_json_has_not_fails_its_job(emp_stack: StartWorker):
    job = emp_stack(JobType("a.nan", nan)).run("a.nan", {})

    assert (job.state, job.reason, job.result) == ("failed", Reason.INVALID_RESULT, None)
    assert [fault["pointer"] for fault in job.error["errors"]] == ["/0"]


def test_a_payload_that_does_not_fit_fails_its_job(emp_stack: StartWorker):
    job = emp_stack(SHOUT).run("a.shout", {"text": 7})

    assert (job.state, job.reason) == ("failed", Reason.INVALID_PAYLOAD)
    assert job.error["errors"][0]["pointer"] == "/text"


def test_a_job_is_tried_again_without_waiting_for_its_backoff(emp_stack: StartWorker):
    began = time.monotonic()

    job = emp_stack(LUCKY).run("a.lucky", {})

    assert (job.state, job.result, job.attempt) == ("completed", 3, 3)
    assert time.monotonic() - began < 5


def test_a_job_fails_when_its_attempts_are_used_up(emp_stack: StartWorker):
    job = emp_stack(LUCKY).run("a.lucky", {}, max_attempts=2)

    assert (job.state, job.attempt, job.error["code"]) == ("failed", 2, "early")


def test_a_running_job_is_called_off(emp_stack: StartWorker):
    worker = emp_stack(ENDLESS)
    job_id = worker.submit("a.endless", {})

    worker.cancel(job_id)

    assert worker.wait(job_id).state == "cancelled"


def test_who_waits_too_long_hears_how_far_the_job_is(emp_stack: StartWorker):
    worker = emp_stack(ENDLESS)

    with pytest.raises(TimeoutError, match=r"is \w+ after 0.05 s"):
        worker.run("a.endless", {}, timeout=0.05)


def test_jobs_run_at_once(emp_stack: StartWorker):
    meeting = asyncio.Event()

    async def meet(payload: Text) -> str:
        if payload.text == "first":
            await meeting.wait()
        meeting.set()
        return payload.text

    worker = emp_stack(JobType("a.meet", meet))
    first, second = (worker.submit("a.meet", {"text": text}) for text in ("first", "second"))

    assert [worker.wait(job_id).result for job_id in (first, second)] == ["first", "second"]


def test_a_plugins_hooks_are_called(emp_stack: StartWorker):
    seen = []

    @contextmanager
    def around(job: JobContext) -> Iterator[None]:
        seen.append(job.job_type)
        yield

    plugin = SimpleNamespace(
        emp_job_types=hookimpl(lambda: [SHOUT]),
        emp_around_job=hookimpl(around),
    )

    assert emp_stack(plugin).run("a.shout", {}).state == "completed"
    assert seen == ["a.shout"]


def test_a_plugin_is_checked_as_a_worker_checks_it(emp_stack: StartWorker):
    plugin = SimpleNamespace(emp_job_types=lambda: [SHOUT])

    with pytest.raises(InvalidJobType, match="put @hookimpl above it"):
        emp_stack(plugin)


def test_a_type_that_it_does_not_serve_is_named(emp_stack: StartWorker):
    with pytest.raises(UnknownJobType, match=r"a\.other.*it serves a\.lucky, a\.shout"):
        emp_stack(SHOUT, LUCKY).submit("a.other", {})


def test_two_workers_of_one_test_have_stores_of_their_own(emp_stack: StartWorker):
    one, other = emp_stack(SHOUT), emp_stack(SHOUT)
    job = one.run("a.shout", {})

    with pytest.raises(LookupError):
        other.wait(job.job_id)


def test_the_pytest_plugin_imports_no_worker_until_a_test_asks_for_it():
    code = (
        "import sys, emp_worker.pytest_plugin; print({'pydantic', 'redis', 'pluggy'} & sys.modules.keys() - {'pluggy'})"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "set()\n"
