"""Perform an attempt at a terminal: Ctrl-C calls it off, and a second one ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from emp_core.cli.exit_codes import ExitCode
from emp_core.cli.output import note

T = TypeVar("T")


def interruptible(attempt: Coroutine[Any, Any, T], leave: Callable[[], None]) -> T | None:
    """Wait for an attempt; None: it was called off with Ctrl-C. `leave` is called before the process is ended."""
    return asyncio.run(_waited_for(attempt, leave))


async def _waited_for(attempt: Coroutine[Any, Any, T], leave: Callable[[], None]) -> T | None:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(attempt)
    is_called_off = False

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_called_off
        if is_called_off:
            leave()
            # Any other way out waits for a thread that goes on, or a coroutine that will not be cancelled.
            os._exit(ExitCode.INTERRUPTED)
        is_called_off = True
        note("Called off, and waited for; Ctrl-C again ends it at once.")
        loop.call_soon_threadsafe(work.cancel)

    # Not `loop.add_signal_handler`: a handler that blocks the loop could not be interrupted then.
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        return await work
    except asyncio.CancelledError:
        if not is_called_off:
            raise
        return None
    finally:
        signal.signal(signal.SIGINT, before)
