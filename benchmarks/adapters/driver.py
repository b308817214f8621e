"""Drive one contestant from inside its own venv: JSON lines with commands come in, one line with an answer goes out.

It imports only the standard library: every venv can run it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.adapters.payloads import payload

HOST, PORT = os.environ["BENCH_HOST"], int(os.environ["BENCH_PORT"])
URL = f"redis://{HOST}:{PORT}/0"
AT_ONCE = 50
"""Submissions under way at once in the concurrent measure."""
BULK, BULK_BYTES = 1_000, 8 * 1024 * 1024
"""The most jobs, and bytes of payload, in one call of the bulk measure."""

_latencies: int | None = None


def begun(sent: int) -> None:
    """Note the latency of a job, as the first thing in its handler; jobs of other measures carry `sent` 0."""
    global _latencies  # noqa: PLW0603 - one open file per worker process
    if sent:
        now = time.monotonic_ns()
        if _latencies is None:
            _latencies = os.open(os.environ["BENCH_LATENCIES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(_latencies, b"%d\n" % (now - sent))


class Adapter:
    """What a contestant can do. `submit` and `submit_many` may be plain functions: threads call them then."""

    submit_many: Callable[[list[dict[str, Any]]], Any] | None = None

    async def open(self) -> None:
        """Connect."""

    def submit(self, payload: dict[str, Any]) -> Any:
        """Submit one job and wait until the store has it."""
        raise NotImplementedError

    async def left(self) -> int:
        """Count the jobs that have not ended; one has when its end and its result are stored."""
        raise NotImplementedError


def serve(adapter: Adapter) -> None:
    """Answer commands until standard input ends; on uvloop where the venv has it, as its documentation advises."""
    try:
        import uvloop  # noqa: PLC0415 - not in every venv
    except ImportError:
        asyncio.run(_serve(adapter))
    else:
        uvloop.run(_serve(adapter))


async def _serve(adapter: Adapter) -> None:
    loop = asyncio.get_running_loop()
    await adapter.open()
    print(json.dumps({"ready": True}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        answer = await _DUTIES[command.pop("do")](adapter, **command)
        print(json.dumps(answer), flush=True)
    # Some libraries keep threads or background work: nothing of it is wanted any more.
    os._exit(0)


async def _submit(adapter: Adapter, how: str, count: int, size: int = 200) -> dict[str, float | None]:
    """Submit jobs and say how long it took; None where the contestant has no such call."""
    payloads = [payload(size) for _ in range(count)]
    began = time.perf_counter()
    if how == "bulk":
        if adapter.submit_many is None:
            return {"seconds": None}
        at_once = max(1, min(BULK, BULK_BYTES // size))
        for at in range(0, count, at_once):
            await _called(adapter.submit_many, payloads[at : at + at_once])
    elif how == "one":
        for each in payloads:
            await _called(adapter.submit, each)
    elif inspect.iscoroutinefunction(adapter.submit):
        waiting = iter(payloads)
        await asyncio.gather(*(_submit_all(adapter, waiting) for _ in range(AT_ONCE)))
    else:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(adapter.submit, payloads))
    return {"seconds": time.perf_counter() - began}


async def _submit_all(adapter: Adapter, payloads: Iterator[dict[str, Any]]) -> None:
    for each in payloads:
        await adapter.submit(each)


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    answer = function(*arguments)
    return await answer if inspect.isawaitable(answer) else answer


async def _latency(adapter: Adapter, count: int, gap: float) -> dict[str, bool]:
    for _ in range(count):
        await _called(adapter.submit, payload(sent=time.monotonic_ns()))
        await asyncio.sleep(gap)
    return {"done": True}


async def _left(adapter: Adapter) -> dict[str, int]:
    return {"left": await adapter.left()}


async def _other(adapter: Adapter, method: str, **arguments: Any) -> dict[str, Any]:
    """Call what only this contestant has."""
    return {"answer": await getattr(adapter, method)(**arguments)}


_DUTIES: dict[str, Callable[..., Any]] = {"submit": _submit, "latency": _latency, "left": _left, "other": _other}
