"""Run ComfyUI workflows: `comfyui.run`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from emp_plugin_comfyui.failures import misfit
from emp_plugin_comfyui.models import Node, OutputFile, Run, RunResult, Upload
from emp_plugin_comfyui.run import WorkflowRun
from emp_plugin_comfyui.server import ComfyServer
from emp_plugin_comfyui.settings import ComfySettings, read_settings
from emp_worker import JobContext, JobType, hookimpl

__all__ = ["RUN", "ComfySettings", "Node", "OutputFile", "Run", "RunResult", "Upload", "emp_job_types"]

_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESDCgA0wMeAAg1MCAO/EATx/9yNvAAAAAElFTkSuQmCC"
"""An 8 x 8 PNG, small enough for the documentation."""
_RED = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 16711680}}
_LOADED = {"class_type": "LoadImage", "inputs": {"image": ""}}
_SHOWN = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}


@dataclass(frozen=True, slots=True)
class Opened:
    """What is opened once per process."""

    settings: ComfySettings
    http: httpx2.AsyncClient


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    """Read the settings, and open the client for all jobs."""
    settings = read_settings()
    # No proxy and no redirect: the server that the operator named, and no other.
    async with httpx2.AsyncClient(timeout=settings.request_seconds, trust_env=False, follow_redirects=False) as http:
        yield Opened(settings, http)


async def run(payload: Run, job: JobContext) -> RunResult:
    """Run a ComfyUI workflow and give back the files that it makes."""
    if places := payload.unknown_nodes():
        raise misfit(places, code="unknown_node")
    if places := payload.unsupported_nodes():
        raise misfit(places, code="unsupported_node")
    tools: Opened = job.resources
    address = tools.settings.server(payload.server)
    server = ComfyServer(tools.http, address, tools.settings, lambda told: job.progress(None, told))
    job.progress(0.0, "looking for an earlier run")
    return await WorkflowRun(payload, job, server, tools.settings).perform()


RUN = JobType(
    "comfyui.run",
    run,
    title="ComfyUI workflow",
    examples=[
        {"workflow": {"1": _RED, "2": _SHOWN}},
        {"workflow": {"1": _LOADED, "2": _SHOWN}, "files": [{"node": "1", "input": "image", "data": _DOT}]},
    ],
    timeout=3600,
    # Each may hold its payload and its result; ComfyUI performs one workflow after the other anyway.
    concurrency=4,
    lifespan=opened,
)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare comfyui.run."""
    return [RUN]
