"""Perform a job type's examples in a child process: a handler that ends its process, or never ends, ends that one.

A command that checks plugins lives on and says what became of the others; exit code 0 of a handler's own passes for
nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from emp_core.setting_names import without_credentials
from emp_worker.discovery import FoundPlugin
from emp_worker.examples import CANCEL_BOUND
from emp_worker.examples_child import DONE
from emp_worker.findings import Finding, Verdict
from emp_worker.jobtypes import Isolation, JobType
from emp_worker.probe import ended_at_last, how_ended

_LOADING: Final = 60.0
"""Seconds until a child has loaded the plugin, which has been loaded in this process before."""
_MARGIN: Final = 5.0
"""Seconds that a handler gets beyond those within which it should have ended, to be told how late it was."""


def perform_apart(
    found: FoundPlugin, job_type: JobType, payloads: Mapping[str, bytes], hear: Callable[[str], None]
) -> list[Finding]:
    """Perform the handler on each payload and give the findings, whatever it does; `hear` is told each step."""
    trail, for_child = os.pipe()
    with os.fdopen(trail, "rb", buffering=0):
        try:
            child = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "emp_worker.examples_child", str(for_child)],
                env=without_credentials(os.environ),
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno(),
                pass_fds=(for_child,),
                process_group=0,  # Ctrl-C is ours to answer, and what a handler starts ends with it
            )
        finally:
            os.close(for_child)
        with child, ended_at_last(child):
            _give_orders(child, found, job_type, payloads)
            heard = _Heard(job_type, hear)
            if heard.listen(trail):
                return heard.findings
            return [*heard.findings, *heard.what_broke(child)]


def _give_orders(
    child: subprocess.Popen[bytes], found: FoundPlugin, job_type: JobType, payloads: Mapping[str, bytes]
) -> None:
    orders = {
        "sys_path": sys.path,
        "plugin": (found.distribution, found.version, found.entry.name, found.entry.value),
        "job_type": job_type.name,
        "payloads": {what: payload.decode() for what, payload in payloads.items()},
    }
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it is dead already; its end says why
            child.stdin.write(json.dumps(orders).encode())


class _Heard:
    """What a child has said: its findings, and the step that it has come to."""

    def __init__(self, job_type: JobType, hear: Callable[[str], None]) -> None:
        self.findings: list[Finding] = []
        self._job_type = job_type
        self._hear = hear
        self._check = "run"
        self._what = "its plugin"
        self._until = time.monotonic() + _LOADING
        self._rest = b""

    def listen(self, trail: int) -> bool:
        """Listen until the child is through (True), or has ended or is silent for too long (False)."""
        with selectors.DefaultSelector() as selector:
            selector.register(trail, selectors.EVENT_READ)
            while (left := self._until - time.monotonic()) > 0 and selector.select(left):
                data = os.read(trail, 65536)
                if not data:
                    return False
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    if self._is_the_last(line):
                        return True
        return False

    def what_broke(self, child: subprocess.Popen[bytes]) -> Iterator[Finding]:
        """Say how the child has come to its end, and what was not tried for it."""
        is_late = time.monotonic() >= self._until
        if is_late:
            remedy = (
                "let CancelledError through"
                if self._job_type.is_async
                else "call job.raise_if_cancelled() now and then"
            )
            seconds = CANCEL_BOUND + _MARGIN
            fault = f"went on for {seconds:g} s after it was called off, and was killed; {remedy}"
        else:
            fault = how_ended(child.wait())
            if self._job_type.isolation is not Isolation.PROCESS:
                fault += ', and would take a worker with it; isolation="process" keeps that from its neighbours'
        yield self._finding(self._check, Verdict.FAILED, f"{self._what} {fault}")
        if self._check == "run":
            yield self._finding("cancel", Verdict.SKIPPED, f"{self._what} has ended the process")

    def _is_the_last(self, line: bytes) -> bool:
        match json.loads(line):
            case [check, what, seconds]:
                self._check, self._what = check, what
                self._until = time.monotonic() + seconds + CANCEL_BOUND + _MARGIN
                self._hear(f"{self._job_type.name}: {check}, {what}")
            case {"check": check, "verdict": verdict, "message": message}:
                self.findings.append(self._finding(check, Verdict(verdict), message))
            case word:
                return bool(word == DONE)
        return False

    def _finding(self, check: str, verdict: Verdict, message: str) -> Finding:
        return Finding(self._job_type.name, check, verdict, message)
