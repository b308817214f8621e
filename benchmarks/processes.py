"""Start programs and say what they and their children use of processor and memory, from /proc."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from emp_core.tied import end_tied, start_tied

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STOP_TIMEOUT: Final = 15.0


class Program:
    """A program with its children, in a process group of its own. It ends with the benchmark, however that ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        path = shutil.which(command[0])
        if path is None:
            raise FileNotFoundError(command[0])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = start_tied([path, *command[1:]], output=output, env=dict(env))
        self._log = log

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            RuntimeError: with the last lines that it wrote.
        """
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended:\n" + self._log.read_text(errors="replace")[-2000:])

    def cpu_seconds(self) -> float:
        """Give the processor time of it and its children, in seconds."""
        return cpu_seconds(self.pid)

    def memory_mib(self) -> float:
        """Give its memory and its children's, what they share counted once (PSS), in MiB."""
        return sum(_pss_kib(pid) for pid in family(self.pid)) / 1024

    def stop(self) -> None:
        """End it with SIGTERM, and what is left of its group after a while with SIGKILL."""
        if self._process.poll() is None:
            end_tied(self._process, signal.SIGTERM, _STOP_TIMEOUT)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def family(pid: int) -> Iterator[int]:
    """Give a process and all its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for child in found:
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Give the processor time of a process and its living descendants, in seconds."""
    return sum(_cpu_ticks(each) for each in family(pid)) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def busy_seconds() -> tuple[float, float]:
    """Give the seconds that all cores together have been busy, and that they have existed."""
    user, nice, system, idle, waiting, *others = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    busy = user + nice + system + sum(others)
    return busy / _TICKS, (busy + idle + waiting) / _TICKS
