"""A plugin whose handlers do what handlers must not; installed for workers in processes of their own."""

import asyncio
import ctypes
import os
import re
import signal
import stat
import threading
import time
from pathlib import Path

from pydantic import BaseModel

from emp_worker import JobType, hookimpl


class Given(BaseModel):
    """For how long, and where to leave a mark."""

    seconds: float = 1.0
    mark: str = ""


async def naps(given: Given) -> str:
    """Block the loop for a while."""
    if given.mark:
        with Path(given.mark).open("a") as marks:  # noqa: ASYNC230 - blocking is what it is for
            marks.write("begun\n")
    time.sleep(given.seconds)  # noqa: ASYNC251
    return "rested"


async def spins(given: Given) -> None:
    """Block the loop for ever."""
    while True:
        pass


async def backtracks(given: Given) -> None:
    """Keep the interpreter lock for ever."""
    re.match("(a+)+$", "a" * 60 + "b")


async def crashes(given: Given) -> None:
    """Take the process down with a segmentation fault."""
    ctypes.string_at(0)


async def leaves_child(given: Given) -> None:
    """End the process and leave a child that holds all that it inherited."""
    if os.fork() == 0:
        time.sleep(given.seconds)  # noqa: ASYNC251
    os._exit(7)


async def leaves_threads(given: Given) -> None:
    """Start threads that Python would wait for at its end, and leave them."""
    for _ in range(200):
        threading.Thread(target=time.sleep, args=(600,)).start()
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


async def ignores_signals(given: Given) -> None:
    """Take the signals away from the worker."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])


async def closes_sockets(given: Given) -> None:
    """Close every socket of the process, as a double close in a C library does to one."""
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:  # noqa: ASYNC240 - quick
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)
        except OSError:  # the descriptor that listed them
            continue


async def waits(given: Given) -> str:
    """Wait as one should."""
    await asyncio.sleep(given.seconds)
    return "waited"


@hookimpl
def emp_job_types():
    handlers = (naps, spins, backtracks, crashes, leaves_child, leaves_threads, ignores_signals, closes_sockets, waits)
    return [JobType(f"naughty.{handler.__name__}", handler) for handler in handlers]
