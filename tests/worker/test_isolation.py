"""What holds for an attempt in every mode of isolation: the payload in, the hooks around, the result out."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pluggy
import pytest
from pydantic import BaseModel, Field

from emp_worker import JobCancelled, JobContext, JobError, JobType, hookimpl, hookspecs
from emp_worker.failures import HandlerQuit, PayloadRefused, ResultRefused, ResultTooLarge
from emp_worker.isolation import Runners
from support.attempts import a_context

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("mode", ["async", "thread"])


class Payload(BaseModel):
    """Something with places."""

    number: int = 0
    inner: dict[str, list[int]] = Field(default_factory=dict)


class Result(BaseModel):
    """Something that goes back."""

    text: str


def made(mode: str, perform: Callable[[Payload, JobContext], Any], **options: Any) -> JobType:
    """Make a job type that performs the same in either mode."""

    async def on_loop(payload: Payload, job: JobContext):
        return perform(payload, job)

    def in_thread(payload: Payload, job: JobContext):
        return perform(payload, job)

    return JobType("text.echo", on_loop if mode == "async" else in_thread, **options)


async def run(
    job_type: JobType, payload: bytes = b"{}", *, context: JobContext | None = None, hooks: Any = None
) -> bytes:
    async with Runners(threads=2, hooks=hooks) as runners:
        return await runners.run(job_type, payload, context or a_context())


def raising(error: BaseException) -> Callable[[Payload, JobContext], Any]:
    def perform(payload: Payload, job: JobContext) -> None:
        raise error

    return perform


@both
async def test_the_payload_becomes_a_model_and_the_result_json(mode):
    job_type = made(mode, lambda payload, job: Result(text=f"{type(payload).__name__} {payload.number}"), result=Result)

    assert await run(job_type, b'{"number": 7}') == b'{"text":"Payload 7"}'


async def test_a_handler_may_do_without_the_job():
    async def on_loop(payload: Payload) -> int:
        return payload.number

    def in_thread(payload: Payload) -> int:
        return payload.number

    assert await run(JobType("a", on_loop), b'{"number": 7}') == b"7"
    assert await run(JobType("a", in_thread), b'{"number": 7}') == b"7"


@both
async def test_a_payload_that_does_not_fit_is_refused_with_pointers(mode):
    job_type = made(mode, raising(AssertionError("the handler was called")))

    with pytest.raises(PayloadRefused) as refused:
        await run(job_type, b'{"number": "seven", "inner": {"a/b~c": [1, "x"]}}')

    assert [fault.pointer for fault in refused.value.faults] == ["/number", "/inner/a~1b~0c/1"]
    assert "integer" in refused.value.faults[0].message


@both
@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[]", b"null", b'{"number": NaN}', b"[" * 100_000])
async def test_a_payload_that_is_no_such_json_is_refused(mode, payload):
    with pytest.raises(PayloadRefused):
        await run(made(mode, lambda payload, job: None), payload)


def _generator() -> Iterator[int]:
    yield 1


async def _coroutine() -> int:
    return 1


@both
@pytest.mark.parametrize(
    "make",
    [lambda: {"words": 1}, lambda: None, lambda: Result.model_construct(text=3), lambda: Result(text="\ud800")],
    ids=["another shape", "nothing", "unchecked", "surrogate"],
)
async def test_a_result_that_is_not_what_the_annotation_says_is_refused(mode, make):
    with pytest.raises(ResultRefused):
        await run(made(mode, lambda payload, job: make(), result=Result))


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@both
@pytest.mark.parametrize(
    "make",
    [object, _generator, _coroutine, _circle, lambda: b"\xff", lambda: iter([1])],
    ids=["object", "generator", "coroutine", "circle", "bytes", "iterator"],
)
async def test_a_result_that_has_no_json_is_refused(mode, make):
    with pytest.raises(ResultRefused):
        await run(made(mode, lambda payload, job: make()))


class Score(BaseModel):
    """A result with a number."""

    of: list[float]
    note: str | None = None


@both
@pytest.mark.parametrize(
    ("value", "annotation", "pointer"),
    [
        (Score(of=[1.0, math.nan]), Score, "/of/1"),
        (Score(of=[math.inf]), None, "/of/0"),
        ({"a": {"b": -math.inf}}, None, "/a/b"),
        (math.nan, float, ""),
    ],
    ids=["model", "model without an annotation", "dict", "number"],
)
async def test_a_number_that_json_has_not_is_refused_with_its_place(mode, value, annotation, pointer):
    with pytest.raises(ResultRefused, match="NaN or Infinity at") as refused:
        await run(made(mode, lambda payload, job: value, result=annotation))

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@both
async def test_nothing_stays_nothing_in_a_result(mode):
    assert await run(made(mode, lambda payload, job: Score(of=[1.5]), result=Score)) == b'{"of":[1.5],"note":null}'
    assert await run(made(mode, lambda payload, job: None)) == b"null"


@both
async def test_a_result_over_16_mib_is_too_large(mode):
    with pytest.raises(ResultTooLarge, match="16,777,216"):
        await run(made(mode, lambda payload, job: "x" * (16 * 1024 * 1024)))


@both
@pytest.mark.parametrize("error", [ValueError("no"), JobError("no"), TimeoutError("own"), RecursionError("deep")])
async def test_what_the_handler_raises_comes_out_as_it_is(mode, error):
    with pytest.raises(type(error)) as raised:
        await run(made(mode, raising(error)))

    assert raised.value is error


class Odd(BaseException):
    """Something that `except Exception` does not catch."""


@both
@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), JobCancelled(), Odd("no")],
    ids=lambda error: type(error).__name__,
)
async def test_what_would_end_a_process_or_a_loop_is_that_attempts_error(mode, error):
    async with Runners(threads=1) as runners:
        # In a task of its own, as the worker runs it: that is where SystemExit would end the loop.
        attempt = asyncio.create_task(runners.run(made(mode, raising(error)), b"{}", a_context()))
        await asyncio.wait([attempt])
        after = await runners.run(made(mode, lambda payload, job: "alive"), b"{}", a_context())

    assert isinstance(attempt.exception(), HandlerQuit)
    assert attempt.exception().__cause__ is error
    assert after == b'"alive"'


@both
async def test_a_stop_iteration_does_not_get_lost(mode):
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run(made(mode, raising(StopIteration())))


@both
async def test_a_handler_that_stops_when_asked_says_so(mode):
    def perform(payload: Payload, job: JobContext) -> None:
        job.request_cancel()
        job.raise_if_cancelled()

    with pytest.raises(JobCancelled):
        await run(made(mode, perform))


@both
async def test_a_handler_sees_the_context_variables_of_its_caller(mode):
    request_id = contextvars.ContextVar("request_id", default="none")
    request_id.set("42")

    assert await run(made(mode, lambda payload, job: request_id.get())) == b'"42"'


@both
async def test_what_a_handler_sets_in_its_context_stays_its_own(mode):
    request_id = contextvars.ContextVar("request_id", default="none")

    await asyncio.create_task(run(made(mode, lambda payload, job: request_id.set("mine") and None)))

    assert request_id.get() == "none"


class Around:
    """A plugin that wraps handlers and keeps what happened."""

    def __init__(self, make: Callable[[list[str], JobContext], Any]) -> None:
        self.events: list[str] = []
        self._make = make

    @hookimpl
    def emp_around_job(self, job: JobContext) -> Any:
        return self._make(self.events, job)


@contextmanager
def _plain(events: list[str], job: JobContext) -> Iterator[None]:
    events.append("enter")
    try:
        yield
        events.append("left well")
    except BaseException as error:
        events.append(type(error).__name__)
        raise


@asynccontextmanager
async def _asynchronous(events: list[str], job: JobContext) -> AsyncIterator[None]:
    with _plain(events, job):
        await asyncio.sleep(0)
        yield


@contextmanager
def _swallowing(events: list[str], job: JobContext) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - what the test is about
        events.append("swallowed")


@contextmanager
def _failing(events: list[str], job: JobContext) -> Iterator[None]:
    raise ConnectionError("no tracing today")
    yield


def relay(*plugins: object) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for plugin in plugins:
        manager.register(plugin)
    return manager.hook


@both
@pytest.mark.parametrize("make", [_plain, _asynchronous])
async def test_a_hook_wraps_the_handler(mode, make):
    around = Around(make)

    def perform(payload: Payload, job: JobContext) -> str:
        around.events.append("handler")
        return "done"

    assert await run(made(mode, perform), hooks=relay(around)) == b'"done"'
    assert around.events == ["enter", "handler", "left well"]


@both
@pytest.mark.parametrize("make", [_plain, _asynchronous])
async def test_a_hook_sees_what_the_handler_raises(mode, make):
    around = Around(make)

    with pytest.raises(ValueError, match="no"):
        await run(made(mode, raising(ValueError("no"))), hooks=relay(around))

    assert around.events == ["enter", "ValueError"]


@both
async def test_hooks_of_several_plugins_are_nested(mode):
    plain, asynchronous = Around(_plain), Around(_asynchronous)

    await run(made(mode, lambda payload, job: None), hooks=relay(plain, asynchronous))

    assert plain.events == asynchronous.events == ["enter", "left well"]


@both
async def test_a_hook_that_swallows_an_error_makes_no_result_of_it(mode):
    with pytest.raises(JobError, match="swallowed"):
        await run(made(mode, raising(ValueError("no"))), hooks=relay(Around(_swallowing)))


@both
async def test_a_hook_that_fails_is_the_attempts_error(mode):
    with pytest.raises(ConnectionError, match="no tracing today"):
        await run(made(mode, lambda payload, job: None), hooks=relay(Around(_failing)))
