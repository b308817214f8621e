"""A plugin with every hostile handler in every mode: `<mode>.<handler>`. Installed beside `hostile_handlers`."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import emp_test_hostile as hostile  # type: ignore[import-not-found]  # the installed copy of `hostile_handlers`

from emp_worker import Backoff, JobContext, JobType, hookimpl

_QUICK = Backoff(base=Backoff().base / 200, factor=1.0)


class Order(hostile.Order):  # type: ignore[misc]  # the installed copy has no types
    """What a handler may need to know, and where to note that it has started."""

    starts: str


def raises_base(payload: Order) -> None:
    """Raise what no `except Exception` catches."""
    raise BaseException("no luck")  # noqa: TRY002 - what the test is about


def spins(payload: Order) -> None:
    """Loop for ever in Python."""
    while True:
        pass


def naps(payload: Order) -> str:
    """Block whatever thread this is."""
    time.sleep(2)
    return "rested"


async def swallows(payload: Order) -> str:
    """Swallow the first cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "not impressed"
    return "never"


async def never_ends(payload: Order) -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


def returns_generator(payload: Order) -> Any:
    """Return what would have to be read first."""

    def numbers() -> Iterator[int]:
        yield 1

    return numbers()


async def works(payload: Order) -> str:
    """Do no harm."""
    return "done"


async def waits(payload: Order) -> str:
    """Run until a file appears."""
    while not Path(payload.path).exists():  # noqa: ASYNC110, ASYNC240 - no event reaches another process
        await asyncio.sleep(0.02)
    return "done"


def _taking(handler: Callable[..., Any], payload: Order, job: JobContext) -> Any:
    """Note the start, and call a handler with what it takes."""
    with Path(payload.starts).open("a") as notes:
        notes.write("started\n")
    return handler(payload, job) if len(inspect.signature(handler).parameters) > 1 else handler(payload)


def _on_loop(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def run(payload: Order, job: JobContext) -> Any:
        value = _taking(handler, payload, job)
        return await value if inspect.iscoroutinefunction(handler) else value

    return run


def _in_thread(handler: Callable[..., Any]) -> Callable[..., Any]:
    def run(payload: Order, job: JobContext) -> Any:
        value = _taking(handler, payload, job)
        return asyncio.run(value) if inspect.iscoroutinefunction(handler) else value

    return run


def _in(mode: str, handler: Callable[..., Any]) -> JobType:
    is_async = mode == "async" or (mode == "process" and inspect.iscoroutinefunction(handler))
    return JobType(
        f"{mode}.{handler.__name__}",
        (_on_loop if is_async else _in_thread)(handler),
        result=get_type_hints(handler).get("return"),
        isolation=mode,
        memory_limit=256 * 1024 * 1024 if (mode, handler.__name__) == ("process", "hogs") else None,
        backoff=_QUICK,
    )


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare each in each mode."""
    ours = [raises_base, spins, naps, swallows, never_ends, returns_generator, works, waits]
    handlers = [*ours, hostile.hogs, *hostile._HANDLERS]
    return [_in(mode, handler) for mode in ("async", "thread", "process") for handler in handlers]
