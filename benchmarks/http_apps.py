"""What EMP's HTTP door is compared with: a bare ASGI application, and FastAPI with one store call per request.

`python -m benchmarks.http_apps asgi|fastapi PORT` serves one with the settings that EMP's own server has.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from benchmarks.adapters import driver
from emp_core.ids import new_job_id

_ANSWER = b'{"status":"accepted"}'


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body and answer; no store."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})


class Envelope(BaseModel):
    """The body of a submission."""

    job_type: str
    payload: dict[str, Any]
    priority: int = 0


class Accepted(BaseModel):
    """The answer."""

    job_id: str
    status: str


def fastapi() -> FastAPI:
    """Make an application as FastAPI's tutorial writes it, with one store call per request."""
    app = FastAPI()
    redis = Redis.from_url(driver.URL, legacy_responses=False)

    @app.post("/v1/jobs", status_code=202)
    async def submit(envelope: Envelope) -> Accepted:
        job_id = new_job_id()
        await redis.lpush("jobs", envelope.model_dump_json())
        return Accepted(job_id=job_id, status="pending")

    return app


def main() -> None:
    """Serve until ended."""
    name, port = sys.argv[1:]
    app: Any = asgi if name == "asgi" else fastapi()
    config = uvicorn.Config(
        app,
        port=int(port),
        http="httptools",
        ws="none",
        lifespan="off" if name == "asgi" else "on",
        backlog=2048,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
