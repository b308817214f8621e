"""Run `emp` in forks of a process that has imported what EMP depends on: a command is there at once, not after 0.3 s.

A script, started by `support.emp_command`, that imports nothing of EMP: each fork imports of it what the command asks
for, in the command's order, and ends as any process does. Whatever is about the start itself needs a real one.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - for the forks, as the next ones
import gc
import json
import os
import runpy
import socket
import sys
from typing import Any

import click  # noqa: F401
import httpx2  # noqa: F401
import msgspec  # noqa: F401
import pydantic_settings  # noqa: F401
import structlog  # noqa: F401

MESSAGE_LIMIT = 1 << 20


def next_command(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each command that is asked for: give it in the fork; None in the server, when nobody will ask again."""
    while True:
        asked, streams, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, 3)
        while asked and not asked.endswith(b"\n"):
            asked += control.recv(MESSAGE_LIMIT)
        if not asked:
            return None
        child = os.fork()
        if child == 0:
            control.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            command: dict[str, Any] = json.loads(asked)
            return command
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        control.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(command: dict[str, Any]) -> None:
    """Be what `python -m emp_core.cli` is with these arguments in this folder and environment."""
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    extra = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [command["cwd"], *filter(None, extra)]
    sys.argv[1:] = command["arguments"]
    runpy.run_module("emp_core.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    gc.freeze()
    wanted = next_command(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        become(wanted)
