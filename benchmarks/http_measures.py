"""What is measured over HTTP: submissions under load with wrk, waiting for results, and streams with many listeners."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.adapters.payloads import payload
from benchmarks.bench_store import HOST
from benchmarks.contestants import HOME, Stage
from benchmarks.figures import percentile
from benchmarks.measures import Found
from benchmarks.processes import Program

CONNECTIONS: Final = 32
BODY: Final = json.dumps({"job_type": "bench.noop", "payload": payload()})
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def has_wrk() -> bool:
    """Tell whether the load generator is here (Debian: `apt install wrk`)."""
    return shutil.which("wrk") is not None


@contextmanager
def serving(stage: Stage, who: str) -> Iterator[tuple[Program, int]]:
    """Run EMP's server or one that it is compared with; gives its port."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    python = stage.contestant.python
    programs = {
        "emp": [str(Path(python).with_name("emp")), "server", "--port", str(port)],
        "asgi": [python, "-m", "benchmarks.http_apps", "asgi", str(port)],
        "fastapi": [python, "-m", "benchmarks.http_apps", "fastapi", str(port)],
    }
    server = Program(programs[who], stage.env, stage.logs / f"{who}-server.log")
    try:
        _wait_for(server, port)
        yield server, port
    finally:
        server.stop()


def _wait_for(server: Program, port: int) -> None:
    until = time.monotonic() + 20
    while True:
        server.check()
        try:
            socket.create_connection((HOST, port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def announce(stage: Stage) -> None:
    """Let a worker tell the store its job types, and go again: submissions are checked against their schema."""
    with stage.workers(1) as (worker,):
        until = time.monotonic() + 20
        while not stage.store.client.exists("{emp:default}:types"):
            worker.check()
            if time.monotonic() > until:
                raise RuntimeError("the worker announced nothing")
            time.sleep(0.05)


def submissions(stage: Stage, who: str, seconds: int) -> Found:
    """Load one server process with POSTs; gives requests per second, p99 in ms and processor time per request."""
    script = HOME / "post.lua"
    headers = 'wrk.headers["Content-Type"] = "application/json"'
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{BODY}]==]\n{headers}\n")
    with serving(stage, who) as (server, port):
        url = f"http://{HOST}:{port}/v1/jobs"
        load = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--script", str(script), "--latency"]
        subprocess.run([*load, "--duration", "1s", url], check=True, capture_output=True)
        cpu = server.cpu_seconds()
        said = subprocess.run(
            [*load, "--duration", f"{seconds}s", url], check=True, capture_output=True, text=True
        ).stdout
        cpu = server.cpu_seconds() - cpu
    return read_wrk(said, cpu)


def read_wrk(said: str, cpu: float) -> Found:
    """Read what wrk printed.

    Raises:
        RuntimeError: some requests were refused or lost.
    """
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"requests failed under load:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    total = re.search(r"(\d+) requests in", said)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if rate is None or total is None or tail is None:
        raise RuntimeError(f"wrk said something else than expected:\n{said}")
    return {
        "http": float(rate[1]),
        "http_p99_ms": float(tail[1]) * _UNITS[tail[2]],
        "http_server_us": cpu / int(total[1]) * 1e6,
    }


def waits(stage: Stage, jobs: int = 200) -> Found:
    """Submit and wait for the result in one request, one after the other; gives milliseconds."""
    times = []
    with stage.workers(1), serving(stage, "emp") as (_, port):
        connection = http.client.HTTPConnection(HOST, port)
        for _ in range(jobs + 20):
            began = time.perf_counter()
            headers = {"Content-Type": "application/json", "Prefer": "wait=10"}
            connection.request("POST", "/v1/jobs", BODY, headers)
            answer = connection.getresponse()
            answer.read()
            times.append((time.perf_counter() - began) * 1e3)
            if answer.status != 200:
                raise RuntimeError(f"a wait was answered with {answer.status}")
        connection.close()
    times = times[20:]  # the first ones start the worker
    return {"wait_p50": percentile(times, 50), "wait_p99": percentile(times, 99), "wait_max": max(times)}


def fan_out(stage: Stage, listeners: int = 1_000, events: int = 5) -> Found:
    """Let many listen to all events while a job is submitted; gives the milliseconds until each has heard of it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # For us and, inherited, for the server: each listener is an open file.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with serving(stage, "emp") as (server, port):
        times = asyncio.run(_fan_out(port, listeners, events))
        memory = server.memory_mib()
    return {
        "fan_out_p50": percentile(times, 50),
        "fan_out_p99": percentile(times, 99),
        "fan_out_max": max(times),
        "fan_out_server_mib": memory,
    }


async def _fan_out(port: int, listeners: int, events: int) -> list[float]:
    request = b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
    streams = []
    for _ in range(listeners):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        streams.append((reader, writer))
    times: list[float] = []

    async def hear(reader: asyncio.StreamReader, began: float) -> None:
        await reader.readuntil(b"event: job_update")
        times.append((time.perf_counter() - began) * 1e3)

    for _ in range(events):
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        hearing = [asyncio.create_task(hear(reader, began)) for reader, _ in streams]
        await asyncio.to_thread(_post, port)
        await asyncio.wait_for(asyncio.gather(*hearing), 30)
    for _, writer in streams:
        writer.close()
    return times


def _post(port: int) -> None:
    connection = http.client.HTTPConnection(HOST, port)
    connection.request("POST", "/v1/jobs", BODY, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()
