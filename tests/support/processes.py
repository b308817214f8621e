"""Start processes in tests, read what they say, and leave none of them or their children behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support.waiting import wait_until

_MARK = "EMP_TEST_MARK"


def free_port() -> int:
    """Give a loopback TCP port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent's notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def marked(mark: str) -> dict[int, str]:
    """Find the living processes that carry a mark in their environment, with their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0") and is_alive(
                int(entry.name)
            ):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


class StartedProcess:
    """A process of a test. It and all its descendants carry a mark, so that whatever is left of them is found."""

    def __init__(self, args: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.args = args
        self.mark = uuid.uuid4().hex
        self._log = log
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EMP_")}
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                args,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**clean, "PYTHONUNBUFFERED": "1", **env, _MARK: self.mark},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def output(self) -> str:
        """Give what it has written so far, standard error included."""
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """Wait until a line of its output matches a pattern; fail at once when it ends before."""

        def found_or_ended() -> re.Match[str] | int | None:
            ended = self.popen.poll()
            match = re.search(pattern, self.output(), re.MULTILINE)
            return match if match is not None or ended is None else -1

        match = wait_until(found_or_ended, timeout)
        assert isinstance(match, re.Match), f"{self.args} ended with {self.popen.returncode}:\n{self.output()}"
        return match

    def send(self, how: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self.popen.send_signal(how)

    def interrupt_group(self) -> None:
        """Send SIGINT to the process group, as Ctrl-C on a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for its end and give the exit code (minus the signal's number when a signal ended it)."""
        return self.popen.wait(timeout)

    def left_running(self) -> dict[int, str]:
        """Give what still runs of the process and its descendants: process ids and command lines."""
        return marked(self.mark)

    def close(self) -> None:
        """Kill what is left of it."""
        self.popen.kill()
        self.popen.wait()
        for pid in self.left_running():
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
