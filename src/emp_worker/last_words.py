"""Read the stacks that a worker process wrote when it was stuck or crashed, and find who is to blame."""

from __future__ import annotations

import re
from collections import deque
from pathlib import PurePath
from typing import Final

_LINES_KEPT = 2_000
_FRAMES_SHOWN = 4
_TIMEOUT = re.compile(r"Timeout \(.*\)!")
_FATAL = re.compile(r"Fatal Python error: (.*)")
_THREAD = re.compile(r"(?P<current>Current t|T)hread 0x[0-9a-f]+ .*\(most recent call first\):")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
_RUNS_HANDLERS: Final = ("emp_worker", "isolation")


class LastWords:
    """The stacks as faulthandler wrote them; `take` gets each line that a process wrote."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def take(self, line: str) -> bool:
        """Keep a line; True if it begins the stacks of a process that has been silent for too long."""
        is_silent = _TIMEOUT.match(line) is not None
        if is_silent:
            self._lines.clear()
        self._lines.append(line)
        return is_silent

    def clear(self) -> None:
        """Forget what was written: the process went on."""
        self._lines.clear()

    def text(self) -> str:
        """Give all of it, for the log."""
        return "\n".join(self._lines)

    @property
    def fatal(self) -> str | None:
        """What the interpreter called the crash, if it was one."""
        matches = (_FATAL.match(line) for line in self._lines)
        return next((match[1] for match in matches if match is not None), None)

    def culprit(self) -> str:
        """Give the innermost frames of the handlers that were running, innermost first; empty if none shows.

        After a crash only the thread that crashed counts.
        """
        threads = _threads(list(self._lines))
        suspects = [frames for is_current, frames in threads if is_current] or [frames for _, frames in threads]
        return " | ".join(text for text in map(_handler_frames, suspects) if text)


def _threads(lines: list[str]) -> list[tuple[bool, list[re.Match[str]]]]:
    """Split the text into threads: whether it is the current one, and its frames."""
    threads: list[tuple[bool, list[re.Match[str]]]] = []
    for line in lines:
        if (thread := _THREAD.match(line)) is not None:
            threads.append((thread["current"] != "T", []))
        elif threads and (frame := _FRAME.match(line)) is not None:
            threads[-1][1].append(frame)
    return threads


def _handler_frames(frames: list[re.Match[str]]) -> str:
    """Write the frames that a handler stands in: those above EMP's own that called it."""
    for at, frame in enumerate(frames):
        if PurePath(frame["file"]).parts[-3:-1] == _RUNS_HANDLERS:
            return " < ".join(_short(each) for each in frames[: min(at, _FRAMES_SHOWN)])
    return ""


def _short(frame: re.Match[str]) -> str:
    return f"{'/'.join(PurePath(frame['file']).parts[-2:])}:{frame['line']} {frame['name']}"
