"""What is logged while a request is served carries the request's id, and no other's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

SERVE = """
import asyncio, logging
import structlog
from emp_core import logs
from emp_server.door import Door
from emp_server.metrics.traffic import Traffic
from emp_server.refusals import Refusals
from emp_server.settings import ServerSettings

async def app(scope, receive, send):
    await asyncio.sleep(0)
    structlog.get_logger().info("from_us", path=scope["path"])
    await asyncio.create_task(deeper(scope["path"]))
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def deeper(path):
    await asyncio.to_thread(logging.getLogger("some.library").warning, "from %s", path)

async def nothing(*_):
    return None

async def main():
    settings = ServerSettings(log_format="json")
    logs.configure(settings)
    door = Door(app, settings, Refusals(), Traffic())
    requests = [
        {"type": "http", "method": "GET", "path": f"/{n}",
         "headers": [(b"host", b"localhost"), (b"x-request-id", b"id-%d" % n)]}
        for n in range(3)
    ]
    await asyncio.gather(*(door(scope, nothing, nothing) for scope in requests))
    structlog.get_logger().info("afterwards")

asyncio.run(main())
"""


def test_each_line_of_a_request_has_its_id():
    done = subprocess.run([sys.executable, "-c", SERVE], check=True, capture_output=True, text=True)

    *lines, last = [json.loads(line) for line in done.stderr.splitlines()]

    told = sorted((line["request_id"], line.get("path") or line["event"]) for line in lines)
    assert told == sorted((f"id-{n}", text) for n in range(3) for text in (f"/{n}", f"from /{n}"))
    assert last["event"] == "afterwards"
    assert "request_id" not in last
