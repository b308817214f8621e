"""Lifespans: entered once per process before a type's first job, exited at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import structlog.testing
from pydantic import BaseModel

from emp_worker import JobContext, JobError, JobType
from emp_worker.failures import HandlerQuit
from emp_worker.isolation import Runners, lifespans
from support.attempts import a_context

pytestmark = pytest.mark.anyio


class Nothing(BaseModel):
    """A payload without fields."""


class Model:
    """Something that is loaded once; its lifespans keep what happened, and where."""

    def __init__(self, *failures: BaseException) -> None:
        self.events: list[str] = []
        self.threads: list[int] = []
        self.failures = list(failures)

    def _load(self) -> None:
        self.threads.append(threading.get_ident())
        if self.failures:
            self.events.append("failed")
            raise self.failures.pop(0)
        self.events.append("entered")

    @contextmanager
    def plain(self) -> Iterator[str]:
        self._load()
        yield "the model"
        self.events.append("exited")

    @asynccontextmanager
    async def asynchronous(self) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        self._load()
        entered_by = asyncio.current_task()
        yield "the model"
        assert asyncio.current_task() is entered_by
        self.events.append("exited")


kinds = pytest.mark.parametrize("kind", ["plain", "asynchronous"])
modes = pytest.mark.parametrize("mode", ["async", "thread"])


def made(mode: str, lifespan: Any) -> JobType:
    async def on_loop(payload: Nothing, job: JobContext) -> Any:
        return job.resources

    def in_thread(payload: Nothing, job: JobContext) -> Any:
        return job.resources

    return JobType("model.use", on_loop if mode == "async" else in_thread, lifespan=lifespan)


@kinds
@modes
async def test_it_is_entered_once_for_many_jobs_and_exited_at_the_end(kind, mode):
    model = Model()
    job_type = made(mode, getattr(model, kind))

    async with Runners(threads=4) as runners:
        results = await asyncio.gather(*[runners.run(job_type, b"{}", a_context()) for _ in range(20)])
        before_the_end = list(model.events)

    assert results == [b'"the model"'] * 20
    assert before_the_end == ["entered"]
    assert model.events == ["entered", "exited"]


async def test_it_is_not_entered_without_a_job():
    model = Model()
    made("async", model.plain)

    async with Runners(threads=1):
        pass

    assert model.events == []


@kinds
@modes
@pytest.mark.parametrize("error", [ValueError("no model"), JobError("no model", retryable=False)])
async def test_its_failure_is_the_attempts_and_the_next_job_tries_again(kind, mode, error):
    model = Model(error)
    job_type = made(mode, getattr(model, kind))

    async with Runners(threads=1) as runners:
        with pytest.raises(type(error), match="no model"):
            await runners.run(job_type, b"{}", a_context())
        result = await runners.run(job_type, b"{}", a_context())

    assert result == b'"the model"'
    assert model.events == ["failed", "entered", "exited"]


@kinds
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_a_lifespan_that_would_end_the_process_fails_its_attempt_only(kind, error):
    job_type = made("async", getattr(Model(error), kind))

    async with Runners(threads=1) as runners:
        with pytest.raises(HandlerQuit):
            await runners.run(job_type, b"{}", a_context())

        assert await runners.run(job_type, b"{}", a_context()) == b'"the model"'


async def test_a_factory_that_fails_is_the_attempts_failure():
    def factory() -> Any:
        raise OSError("no such file")

    async with Runners(threads=1) as runners:
        with pytest.raises(OSError, match="no such file"):
            await runners.run(made("async", factory), b"{}", a_context())


async def test_a_sync_one_is_entered_beside_the_loop():
    model = Model()

    async with Runners(threads=1) as runners:
        await runners.run(made("async", model.plain), b"{}", a_context())

    assert model.threads != [threading.get_ident()]


async def test_calling_off_the_first_job_does_not_spoil_the_second():
    may_enter = asyncio.Event()
    entering = asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[str]:
        entering.set()
        await may_enter.wait()
        yield "the model"

    job_type = made("async", slow)
    async with Runners(threads=1) as runners:
        first = asyncio.create_task(runners.run(job_type, b"{}", a_context()))
        second = asyncio.create_task(runners.run(job_type, b"{}", a_context()))
        await entering.wait()
        first.cancel()
        await asyncio.wait([first])
        may_enter.set()
        result = await second

    assert first.cancelled()
    assert result == b'"the model"'


async def test_one_that_fails_at_its_end_is_logged_and_the_others_are_exited():
    model = Model()

    @contextmanager
    def failing() -> Iterator[None]:
        yield
        raise OSError("cannot close")

    with structlog.testing.capture_logs() as logged:
        async with Runners(threads=1) as runners:
            await runners.run(JobType("a.fails", made("async", None).handler, lifespan=failing), b"{}", a_context())
            await runners.run(made("async", model.plain), b"{}", a_context())

    assert model.events == ["entered", "exited"]
    assert [(line["event"], line["job_type"], line["error"]) for line in logged] == [
        ("lifespan_exit_failed", "a.fails", "OSError")
    ]


async def test_one_that_hangs_at_its_end_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifespans, "EXIT_GRACE", 0.05)

    @asynccontextmanager
    async def hanging() -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()

    with structlog.testing.capture_logs() as logged:
        async with asyncio.timeout(5), Runners(threads=1) as runners:
            await runners.run(made("async", hanging), b"{}", a_context())

    assert "lifespan_exit_hangs" in [line["event"] for line in logged]


async def test_one_that_is_still_being_entered_is_called_off_at_the_end():
    entering = asyncio.Event()

    @asynccontextmanager
    async def endless() -> AsyncIterator[None]:
        entering.set()
        await asyncio.Event().wait()
        yield

    async with asyncio.timeout(5), Runners(threads=1) as runners:
        call = asyncio.create_task(runners.run(made("async", endless), b"{}", a_context()))
        await entering.wait()
        call.cancel()
        await asyncio.wait([call])

    assert call.cancelled()
