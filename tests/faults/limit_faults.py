"""What runs out: file descriptors, connections of the store."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faults.fault import Effect, look_for
from faults.rig import Rig


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def _limited(pid: int, files: int) -> Iterator[None]:
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def server_files(rig: Rig) -> Iterator[Effect]:
    """Leave a server no file descriptor for another connection, and connect to it a hundred times."""
    server = rig.chance.choice(rig.servers)
    pid = server.process.pid
    limit = _open_files(pid) + 5
    port = int(server.url.rpartition(":")[2])
    effect = Effect()
    with _limited(pid, limit), ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        effect.seen(look_for(lambda: _open_files(pid) >= limit - 1, 5) and f"all {limit} descriptors were in use")
        server.line.cut()
        yield effect


@contextmanager
def worker_files(rig: Rig) -> Iterator[Effect]:
    """Leave a worker no file descriptor, and cut its connections: it cannot open new ones."""
    worker = rig.chance.choice(rig.workers)
    pid = worker.pid()
    effect, before = Effect(), worker.said("Too many open files")
    with _limited(pid, 8):
        worker.line.cut()
        yield effect
        effect.seen(look_for(lambda: worker.said("Too many open files") - before, 10))
    effect.evidence = effect.evidence and f"{effect.evidence} times a file could not be opened"


@contextmanager
def store_connections(rig: Rig) -> Iterator[Effect]:
    """Let the store take three connections, and end all that there are."""
    before = rig.direct.info("stats")["rejected_connections"]
    most = rig.direct.config_get("maxclients")["maxclients"]
    effect = Effect()
    rig.direct.config_set("maxclients", 3)
    try:
        rig.direct.client_kill_filter(_type="normal", skipme=True)
        yield effect
        effect.seen(rig.direct.info("stats")["rejected_connections"] - before)
    finally:
        rig.direct.config_set("maxclients", most)
    effect.evidence = effect.evidence and f"{effect.evidence} connections were rejected"
