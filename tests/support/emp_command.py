"""Run the `emp` command as a person runs it, in a process of its own that is there at once: see `support.emp_forks`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TIMEOUT: Final = 60.0
"""Seconds that a command may take."""


class EmpCommand:
    """Runs one `emp` after the other."""

    def __init__(self, control: socket.socket, forks: subprocess.Popen[bytes]) -> None:
        self._control = control
        self._forks = forks

    def run(
        self, *arguments: str, cwd: Path, env: Mapping[str, str], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run it with these arguments in a folder, with this environment and no other; give what came of it.

        Raises:
            subprocess.TimeoutExpired: it took more than a minute; it has been killed.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            asked = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode() + b"\n"
            streams = [given.fileno(), out.fileno(), err.fileno()]
            sent = socket.send_fds(self._control, [asked], streams)
            self._control.sendall(asked[sent:])
            try:
                answer = self._control.recv(100)
            except TimeoutError:
                self.close()
                raise subprocess.TimeoutExpired(arguments, _TIMEOUT) from None
            assert answer, "the process that forks for `emp` has ended"
            said = [stream.seek(0) or stream.read().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, int(answer), *said)

    def close(self) -> None:
        """End it, and a command that runs."""
        os.killpg(self._forks.pid, signal.SIGKILL)


@contextmanager
def ready_emp() -> Iterator[EmpCommand]:
    """Have commands at hand while the body runs."""
    ours, theirs = socket.socketpair()
    ours.settimeout(_TIMEOUT)
    script = Path(__file__).with_name("emp_forks.py")
    with theirs:
        forks = subprocess.Popen(
            [sys.executable, str(script), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    with ours:
        command = EmpCommand(ours, forks)
        try:
            yield command
        finally:
            command.close()
            forks.wait()
