"""The whole of EMP as real processes that send their spans to a collector of the tests' own."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from emp_core.store.embedded import EmbeddedStore
from support.collector import Collector, Trace, collecting
from support.processes import StartedProcess, free_port
from support.scratch_plugins import install
from support.waiting import wait_until

EMP = str(Path(sys.executable).with_name("emp"))

PLUGIN = """
import logging, sys, time
from datetime import timedelta
from opentelemetry import trace
from pydantic import BaseModel, Field
from emp_worker import Backoff, JobType, hookimpl

class Text(BaseModel):
    text: str = Field(default="", description="the text")
    seconds: float = Field(default=0.0, description="how long it takes")
    fails_until: int = Field(default=0, description="the attempt before which it fails")

def work(payload, job):
    with trace.get_tracer("traced.plugin").start_as_current_span("own work"):
        logging.getLogger("traced").warning("at work on %s", job.job_id)
    if job.attempt < payload.fails_until:
        raise ValueError(f"failed on {payload.text}")
    time.sleep(payload.seconds)

async def on_loop(payload: Text, job) -> None:
    work(payload, job)

def apart(payload: Text, job) -> None:
    work(payload, job)

def modules(payload: Text) -> list[str]:
    return sorted(sys.modules)

@hookimpl
def emp_job_types():
    soon = Backoff(base=timedelta(milliseconds=50))
    return [
        JobType("traced.async", on_loop, backoff=soon),
        JobType("traced.thread", apart, backoff=soon),
        JobType("traced.process", apart, isolation="process", backoff=soon),
        JobType("modules.here", modules),
        JobType("modules.child", modules, isolation="process"),
    ]
"""


@dataclass
class Emp:
    """A server and a worker under test, and where their spans go."""

    client: httpx2.Client
    server: StartedProcess
    worker: StartedProcess
    collector: Collector

    def run(
        self, job_type: str, parent: str | None = None, options: Mapping[str, Any] | None = None, **payload: Any
    ) -> dict[str, Any]:
        """Submit a job with this `traceparent`, and give it when it has ended."""
        job: dict[str, Any] = self.client.post(
            "/v1/jobs?wait=20",
            json={"job_type": job_type, "payload": payload, **(options or {})},
            headers={} if parent is None else {"traceparent": parent},
        ).json()
        assert job.get("state") in {"completed", "failed"}, job
        return job

    def spans(self, trace_id: str, count: int) -> Trace:
        """Wait for so many spans of a trace."""
        wait_until(lambda: len(self.collector.trace(trace_id)) >= count, 20)
        return self.collector.trace(trace_id)


Start = Callable[..., StartedProcess]


@pytest.fixture(scope="module")
def start_emp(tmp_path_factory: pytest.TempPathFactory, valkey: EmbeddedStore) -> Iterator[Start]:
    """Start an `emp` process on a part of the store of this module's own, with the plugin of these tests."""
    folder = tmp_path_factory.mktemp("emp")
    install(folder, "traced-plugin", PLUGIN)
    namespace = f"t{uuid.uuid4().hex[:20]}"
    started: list[StartedProcess] = []

    def start(*args: str, **env: str) -> StartedProcess:
        ours = {
            "EMP_REDIS_URL": valkey.url,
            "EMP_NAMESPACE": namespace,
            "EMP_PLUGINS": "traced-plugin",
            "EMP_PLUGINS_IMPORT_LIMIT": "0",
            "EMP_LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join([str(folder), *([site] if (site := env.get("EMP_TEST_SITE")) else [])]),
        }
        log = folder / f"process-{len(started)}.log"
        started.append(StartedProcess([EMP, *args], log=log, env={**ours, **env}, cwd=folder))
        return started[-1]

    yield start

    for process in reversed(started):
        process.close()
        print(f"--- {' '.join(process.args)} (exit {process.popen.returncode})\n{process.output()}")


@pytest.fixture(scope="module")
def start_both(start_emp: Start) -> Iterator[Callable[..., Emp]]:
    """Start a server and a worker, and wait until the job types are known."""
    clients: list[httpx2.Client] = []

    def start(collector: Collector, **env: str) -> Emp:
        port = free_port()
        server, worker = start_emp("server", "--port", str(port), **env), start_emp("worker", **env)
        server.wait_for("startup complete")
        clients.append(httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30))
        wait_until(lambda: "traced.async" in clients[-1].get("/v1/job-types").text, 20)
        return Emp(clients[-1], server, worker, collector)

    yield start

    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def emp(start_both: Callable[..., Emp]) -> Iterator[Emp]:
    """Run a server and a worker that trace, for all tests of a module."""
    with collecting() as collector:
        yield start_both(collector, **collector.env)
