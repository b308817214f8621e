"""A plugin of handlers for child processes, good ones and others. Tests install it as a distribution of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from emp_worker import Backoff, JobContext, JobError, JobType, hookimpl


class Order(BaseModel):
    """What a handler may need to know."""

    path: str = ""
    size: int = 0
    text: str = ""


class Process(BaseModel):
    """What a handler sees of its process."""

    pid: int
    cwd: str
    terminated: str
    open_files: int
    resources: Any


class Answer(BaseModel):
    """A result."""

    number: int


_loads = 0


@contextlib.contextmanager
def counted() -> Iterator[int]:
    """Count how often the lifespan is entered in this process, and write down that it is exited."""
    global _loads  # noqa: PLW0603 - one number per process is the point
    _loads += 1
    helper = subprocess.Popen(["sleep", "600"])
    yield _loads
    alive = helper.poll() is None
    helper.kill()
    helper.wait()
    if mark := os.environ.get("HOSTILE_MARK"):
        Path(mark).write_text("exited with its helper" if alive else "exited without its helper")


def floods(payload: Order) -> int:
    """Print many lines at once; with a text the process ends after them, and that is its last line."""
    for number in range(payload.size):
        print(f"line {number:06}")
    if payload.text:
        print(payload.text, flush=True)
        os._exit(7)
    sys.stdout.flush()
    return payload.size


async def who(payload: Order, job: JobContext) -> Process:
    """Tell about the process, and print."""
    print("hello")
    return Process(
        pid=os.getpid(),
        cwd=str(Path.cwd()),
        terminated=str(signal.getsignal(signal.SIGTERM)),
        open_files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a number
        resources=job.resources,
    )


def who_in_thread(payload: Order, job: JobContext) -> int:
    """Tell the process."""
    return os.getpid()


def speaks(payload: Order, job: JobContext) -> str:
    """Report and log."""
    job.progress(0.25)
    job.progress(None, "a quarter")
    job.log.info("a line \udc80 with what no encoding takes")
    return f"{job.attempt} of {job.max_attempts} at {job.deadline}"


async def chatters(payload: Order, job: JobContext) -> None:
    """Report without end, all at once."""
    for n in range(100_000):
        job.progress(n / 100_000)
    job.progress(1.0, "all of it")


def echo(payload: Order) -> str:
    """Give the text back."""
    return payload.text


async def polite(payload: Order, job: JobContext) -> None:
    """Run until told to end, and clean up then."""
    job.progress(0.5, "running")
    try:
        await asyncio.Event().wait()
    finally:
        job.progress(0.9, "handed over" if job.handed_over else "cleaned up")


def polite_in_thread(payload: Order, job: JobContext) -> None:
    """Run until told to end."""
    job.progress(0.5, "running")
    while True:
        job.raise_if_cancelled()
        time.sleep(0.01)


async def stubborn(payload: Order, job: JobContext) -> None:
    """Ignore whatever can be ignored, with a subprocess that does so too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); time.sleep(600)"
    helper, _ = _started([sys.executable, "-c", code])
    job.progress(0.5, f"{os.getpid()} {helper}")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


def hopeless(payload: Order, job: JobContext) -> object:
    """Search for what is not there, with the interpreter lock held, in C."""
    job.progress(0.5, str(os.getpid()))
    return re.match(r"(a+)+$", "a" * 64 + "b")


def segfaults(payload: Order, job: JobContext) -> None:
    """Read what is not ours."""
    job.log.info("about to read address 0")
    ctypes.string_at(0)


def killed(payload: Order, job: JobContext) -> None:
    """End as the kernel ends who takes too much memory."""
    taken = bytearray(payload.size)
    taken[::4096] = b"x" * len(taken[::4096])
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)


async def exits(payload: Order) -> None:
    """End the process."""
    if payload.path:
        _note(payload.path, "started")
    os._exit(7)


async def asks_to_exit(payload: Order) -> None:
    """Ask Python to end."""
    sys.exit(3)


def interrupted(payload: Order) -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def hogs(payload: Order) -> int:
    """Take more memory than there may be."""
    return len(bytearray(payload.size))


def refuses(payload: Order) -> None:
    """Fail in its own words."""
    raise JobError("not today", code="E1", retryable=False, retry_after=7)


def fails(payload: Order) -> None:
    """Fail."""
    raise ValueError("no luck")


def recurses(payload: Order) -> None:
    """Call itself."""
    recurses(payload)


def returns_much(payload: Order) -> str:
    """Return more than can be kept."""
    return "x" * (17 * 1024 * 1024)


def returns_nothing_of_use(payload: Order) -> Any:
    """Return what has no JSON."""
    return object()


def returns_another(payload: Order) -> Answer:
    """Return what the annotation does not say."""
    return {"text": "none"}  # type: ignore[return-value]  # what the test is about


def returns_nan(payload: Order) -> Any:
    """Return a number that JSON has not."""
    return {"loss": [1.0, float("nan")]}


async def closes_output(payload: Order) -> None:
    """Close standard output and error."""
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)


async def moves(payload: Order) -> None:
    """Change the working directory and the file mode mask."""
    os.chdir("/")
    os.umask(0o777)


async def changes_signals(payload: Order) -> None:
    """Change signal handlers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def leaves_threads(payload: Order) -> int:
    """Start threads and leave them behind."""
    for _ in range(payload.size):
        threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()


async def leaves_processes(payload: Order, job: JobContext) -> list[int]:
    """Start processes and leave them behind: a child, its child, and one in a session of its own."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
    child, grandchild = _started([sys.executable, "-c", code])
    away, _ = _started(["setsid", "sh", "-c", "echo 0; exec sleep 600"])
    job.progress(0.5, f"{os.getpid()} {child} {grandchild}")
    if payload.text == "stay":
        await asyncio.Event().wait()
    return [child, grandchild, away]


async def leaks(payload: Order) -> int:
    """Keep memory."""
    _kept.append(bytes(range(256)) * (payload.size // 256))
    return os.getpid()


_kept: list[bytes] = []


async def speaks_nonsense(payload: Order) -> None:
    """Write to every connection that the process has."""
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(number, b"\xff" * 64)
    await asyncio.Event().wait()


def quarrels(payload: Order) -> None:
    """Close every file that the process has."""
    os.closerange(3, 64)
    time.sleep(600)


def _started(command: list[str]) -> tuple[int, int]:
    """Start a process that nobody waits for; gives its id and the number that it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process.pid, int(process.stdout.readline())


def _note(path: str, line: str) -> None:
    with Path(path).open("a") as notes:
        notes.write(f"{line}\n")


_HANDLERS = [
    who_in_thread,
    floods,
    speaks,
    chatters,
    echo,
    polite,
    polite_in_thread,
    stubborn,
    hopeless,
    segfaults,
    killed,
    exits,
    asks_to_exit,
    interrupted,
    refuses,
    fails,
    recurses,
    returns_much,
    returns_nothing_of_use,
    returns_another,
    returns_nan,
    closes_output,
    moves,
    changes_signals,
    leaves_threads,
    leaves_processes,
    leaks,
    speaks_nonsense,
    quarrels,
]
_QUICK = Backoff(base=Backoff().base / 200, factor=1.0)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare them, each under its name, and some once more for the worker's own process."""
    return [
        JobType("hostile.who", who, isolation="process", lifespan=counted),
        JobType("hostile.hogs", hogs, isolation="process", memory_limit=256 * 1024 * 1024),
        *(JobType(f"hostile.{each.__name__}", each, isolation="process", backoff=_QUICK) for each in _HANDLERS),
        JobType("hostile.exits_in_place", exits, backoff=_QUICK),
        JobType("hostile.who_in_place", who),
        JobType("hostile.polite_in_place", polite),
    ]
