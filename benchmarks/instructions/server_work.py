"""What the server does for submissions over kept-alive connections, to be run under callgrind.

The application with its loops is the one that `emp server` runs, and so is the HTTP protocol of each connection. The
sockets of the clients are not there: bytes are handed to the protocol, and what it writes is read.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
from pathlib import Path
from typing import Any, Final

from benchmarks.adapters.payloads import payload
from benchmarks.instructions.marks import Marks
from benchmarks.instructions.parts import SIZES
from emp_core.jobs import Announcement
from emp_core.store import Store, open_store
from emp_server.serving import Server, make_server
from emp_server.settings import ServerSettings

NAMESPACE: Final = "bench"
JOB_TYPE: Final = "bench.noop"
WARM_UP: Final = 32
_SCHEMA: Final = {
    "type": "object",
    "properties": {"sent": {"type": "integer"}, "text": {"type": "string"}},
    "required": ["sent", "text"],
    "additionalProperties": False,
}
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class _Wire(asyncio.Transport):
    """The transport of a connection: keeps what is written until it is a whole answer."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8321)})
        self._written = b""
        self._answer: asyncio.Future[bytes] | None = None

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Have none."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Go on: nothing is sent before an answer is here."""

    def resume_reading(self) -> None:
        """Go on."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._written += data
        head, found, body = self._written.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if found and length is not None and len(body) == int(length[1]) and self._answer is not None:
            self._answer.set_result(self._written)
            self._written = b""

    def expect(self) -> asyncio.Future[bytes]:
        """Return the next answer when it is here."""
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer


class _Client:
    """A client that submits over one connection, head and body in two packets as most clients do."""

    def __init__(self, server: Server) -> None:
        self._wire = _Wire()
        config = server.config
        self._protocol: Any = config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn's types name no such class
            config=config, server_state=server.server_state, app_state=server.lifespan.state
        )
        self._protocol.connection_made(self._wire)
        self._body = json.dumps({"job_type": JOB_TYPE, "payload": payload()}).encode()
        self._head = (
            b"POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1:8321\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\n"
            b"connection: keep-alive\r\nuser-agent: instructions\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(self._body)
        )

    def submit(self) -> asyncio.Future[bytes]:
        """Send a submission; returns its answer when it is here."""
        answer = self._wire.expect()
        self._protocol.data_received(self._head)
        self._protocol.data_received(self._body)
        return answer


async def _submissions(clients: list[_Client], rounds: int) -> None:
    """Let all clients submit at once, so many times.

    Raises:
        RuntimeError: a submission was not accepted.
    """
    for _ in range(rounds):
        for answer in await asyncio.gather(*(client.submit() for client in clients)):
            if not answer.startswith(b"HTTP/1.1 202 "):
                raise RuntimeError(answer.decode())


async def work(marks: Marks, store: Path) -> None:
    """Count submissions one by one and 32 at once: of each, a number of rounds and twice as many."""
    settings = ServerSettings(redis_url=f"unix://{store}", namespace=NAMESPACE)
    async with open_store(settings.redis_url, NAMESPACE) as opened:
        await opened.types.announce([Announcement(JOB_TYPE, "d", "emp-plugin-bench", "1", payload_schema=_SCHEMA)])
        server = await _started(settings, opened)
        lone, crowd = [_Client(server)], [_Client(server) for _ in range(32)]
        for clients in (lone, crowd):
            await _submissions(clients, WARM_UP)
        gc.collect()
        gc.freeze()
        gc.disable()  # when it runs depends on what else the process has made
        marks.begin()
        for name, clients, rounds in (("submission", lone, 20), ("submission_of_32", crowd, 3)):
            await _submissions(clients, 2)
            for times in SIZES:
                with marks.counted(f"{name} {times * rounds * len(clients)}"):
                    await _submissions(clients, times * rounds)
        await server.lifespan.shutdown()


async def _started(settings: ServerSettings, store: Store) -> Server:
    server = make_server(settings, store)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.lifespan.startup()
    await server.on_tick(0)  # writes the headers that every answer has
    return server
