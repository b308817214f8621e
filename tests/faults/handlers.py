"""The plugin of a faulty run; installed as a distribution of its own. Its handlers keep a journal.

Nothing of the test is imported here: it runs in workers and in their child processes.
"""

import asyncio
import ctypes
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from emp_worker import Backoff, JobContext, JobError, JobType, hookimpl

JOURNAL = "@JOURNAL@"
_QUICK = Backoff(timedelta(seconds=0.05), 1.0, timedelta(seconds=0.05), 0.0)


class Order(BaseModel):
    """How long to run (`again_seconds`: from attempt 2 on), how often to fail, what harm to do, what to return."""

    key: str
    how: str = ""
    seconds: float = 0.0
    again_seconds: float | None = None
    fail_attempts: int = 0
    cargo: Any = None


class Made(BaseModel):
    """A result that tells which attempt made it."""

    key: str
    attempt: int
    worker_id: str
    cargo: Any


def seconds_of(order: Order, job: JobContext) -> float:
    """Give how long this attempt shall run."""
    return order.seconds if job.attempt == 1 or order.again_seconds is None else order.again_seconds


def _write(event: str, job: JobContext, digest: str = "") -> None:
    entry = {
        "event": event,
        "job_id": job.job_id,
        "attempt": job.attempt,
        "worker_id": job.worker_id,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "wall": time.time(),
        "digest": digest,
    }
    file = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(file)


@contextmanager
def journaled(order: Order, job: JobContext) -> Iterator[Made]:
    """Write down the start and, if it comes to that, the end."""
    _write("begun", job)
    made = Made(key=order.key, attempt=job.attempt, worker_id=job.worker_id, cargo=order.cargo)
    yield made
    if job.attempt <= order.fail_attempts:
        _write("failed", job)
        raise JobError("told to fail")
    _write("ended", job, hashlib.sha256(made.model_dump_json().encode()).hexdigest())


async def work(order: Order, job: JobContext) -> Made:
    """Wait on the loop."""
    with journaled(order, job) as made:
        await asyncio.sleep(seconds_of(order, job))
    return made


def work_blocking(order: Order, job: JobContext) -> Made:
    """Wait in a thread or in a child process."""
    with journaled(order, job) as made:
        end = time.monotonic() + seconds_of(order, job)
        while time.monotonic() < end:
            job.raise_if_cancelled()
            time.sleep(0.01)
    return made


def spin() -> None:
    """Never end."""
    while True:
        pass


def backtrack() -> None:
    """Keep the interpreter lock for ever."""
    re.match("(a+)+$", "a" * 64 + "b")


def raise_base() -> None:
    """Raise what is no Exception."""
    raise BaseException("told to")  # noqa: TRY002 - the point


def hog() -> None:
    """Take more memory than there may be."""
    bytearray(8 * 1024**3)


def leave_threads() -> None:
    """Leave threads behind."""
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def leave_child() -> None:
    """Leave a child behind that holds what it inherited."""
    subprocess.Popen(["sleep", "60"], close_fds=False)


def close_output() -> None:
    """Close standard output and error."""
    os.close(1)
    os.close(2)


HARM = {
    "raises BaseException": raise_base,
    "calls sys.exit": lambda: sys.exit(3),
    "calls os._exit": lambda: os._exit(7),
    "crashes": lambda: ctypes.string_at(0),
    "hogs memory": hog,
    "never ends": spin,
    "blocks the loop": lambda: time.sleep(1.2),
    "keeps the interpreter lock": backtrack,
    "leaves threads": leave_threads,
    "leaves a child": leave_child,
    "closes its output": close_output,
}


async def hostile(order: Order, job: JobContext) -> Made:
    """Do harm."""
    with journaled(order, job) as made:
        if order.how == "swallows its cancellation":
            end = time.monotonic() + (3 if "async" in job.job_type else 600)
            while time.monotonic() < end:
                try:
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError:
                    continue
        else:
            HARM[order.how]()
    return made


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare the same work in each mode."""
    return [
        JobType("faults.async", work, backoff=_QUICK),
        JobType("faults.thread", work_blocking, backoff=_QUICK),
        JobType("faults.process", work_blocking, isolation="process", backoff=_QUICK),
        JobType("faults.hostile_async", hostile, backoff=_QUICK),
        JobType("faults.hostile_process", hostile, isolation="process", memory_limit=256 * 1024**2, backoff=_QUICK),
    ]
