"""Run one command line: its output as it comes, its end, and the end of all that it has started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emp_plugin_script import keeper

LINE_LIMIT: Final = 16 * 1024
LOG_LINES: Final = 1001
"""Lines of one stream that are logged: as many as a job's log holds, and one, at which it says that it is full."""
_TERM_PATIENCE: Final = 2.0
_DRAIN_WITHIN: Final = 1.0
_CHUNK: Final = 65_536


class Tail:
    """The last bytes of a stream, and its lines as they come; a line beyond its limit comes in pieces.

    Args:
        limit: how many bytes of the end are kept.
        heard: takes a line, and returns whether it was logged. When as many lines were logged as a job's log holds,
            only those that begin with `marker` are handed over, the last of each read: a command that writes as fast
            as it can must not take the worker's time.
        marker: what lines begin with that are more than log lines; None: no line does.
    """

    def __init__(self, limit: int, heard: Callable[[str], bool], marker: bytes | None = None) -> None:
        self._limit = limit
        self._heard = heard
        self._marked = None if marker is None else re.compile(rb"^%b[^\n]*\n" % re.escape(marker), re.MULTILINE)
        self._left = LOG_LINES
        self._line = bytearray()
        self.kept = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self.total += len(data)
        self.kept += data
        if len(self.kept) > self._limit:
            del self.kept[: len(self.kept) - self._limit]
        if self._left <= 0:
            self._look_for_marked(data)
            return
        *lines, rest = (bytes(self._line) + data).split(b"\n")
        for at, line in enumerate(lines):
            if self._left <= 0:
                self._line.clear()
                self._look_for_marked(b"\n".join((*lines[at:], rest)))
                return
            self._say(line)
        while len(rest) > LINE_LIMIT:
            self._say(rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        self._line = bytearray(rest)

    def _look_for_marked(self, data: bytes) -> None:
        """Hand over the last marked line of what was read; nothing else has a place in the log any more."""
        if self._marked is None:
            return
        text = bytes(self._line) + data
        marked = self._marked.findall(text)
        if marked:
            self._heard(marked[-1].decode("utf-8", "replace").rstrip("\r\n"))
        # What comes next may end this line. A longer one is not looked at: only its beginning could be marked.
        self._line = bytearray(text[text.rfind(b"\n") + 1 :][:LINE_LIMIT])

    def end(self) -> None:
        """Take the end of the stream."""
        if self._line and self._left > 0:
            self._say(bytes(self._line))
            self._line.clear()

    def text(self) -> str:
        """Give what was kept."""
        return self.kept.decode("utf-8", "replace")

    def _say(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), LINE_LIMIT):
            self._left -= self._heard(line[start : start + LINE_LIMIT].decode("utf-8", "replace").rstrip("\r"))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; None and why, where it could not be started."""

    code: int | None
    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line, and where and within which limits it runs. The memory is bytes, 0 for no limit."""

    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    stdin: bytes
    memory: int


async def run(line: Line, out: Tail, err: Tail) -> Ended:
    """Run a command to its end. Cancelling the call ends its process group: SIGTERM, and SIGKILL two seconds later."""
    began = time.monotonic()
    tie, held = os.pipe()
    report, reported = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", keeper.__file__, str(tie), str(reported), str(line.memory), *line.argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=line.folder,
            env=dict(line.env),
            pass_fds=(tie, reported),
            start_new_session=True,
        )
    except BaseException:
        for descriptor in (tie, held, report, reported):
            os.close(descriptor)
        raise
    os.close(tie)
    os.close(reported)
    try:
        streams = asyncio.gather(
            _write(process.stdin, line.stdin), _read(process.stdout, out), _read(process.stderr, err)
        )
        try:
            await process.wait()
            with contextlib.suppress(TimeoutError):  # a daemon that left the group holds the pipes
                await asyncio.wait_for(asyncio.shield(streams), _DRAIN_WITHIN)
        finally:
            await _end(process)
            streams.cancel()
            await asyncio.gather(streams, return_exceptions=True)
        return _ended(os.read(report, 4096).decode("utf-8", "replace"), time.monotonic() - began)
    finally:
        os.close(held)
        os.close(report)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make the command's whole group end; the keeper goes with it."""
    if process.returncode is not None:
        return
    _signal(process.pid, signal.SIGTERM)
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({waiting}, timeout=_TERM_PATIENCE)
    finally:
        _signal(process.pid, signal.SIGKILL)
    await waiting


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


async def _write(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the command does not want it all
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _read(stream: asyncio.StreamReader | None, tail: Tail) -> None:
    if stream is None:
        return
    try:
        while data := await stream.read(_CHUNK):
            tail.feed(data)
            await asyncio.sleep(0)  # a read that has data at hand gives others no turn
    finally:
        tail.end()


def _ended(told: str, seconds: float) -> Ended:
    if told.startswith(keeper.NOT_STARTED):
        return Ended(None, seconds, told.removeprefix(keeper.NOT_STARTED))
    return Ended(int(told), seconds) if told else Ended(-signal.SIGKILL, seconds)
