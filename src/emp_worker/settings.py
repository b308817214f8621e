"""The settings of a worker: which plugins are loaded, and how it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from emp_core.settings import Names, Seconds, StoreSettings, Tracing, comma_separated


def _pairs(value: Any) -> Any:
    """Read `type=distribution` pairs that are separated by commas."""
    if not isinstance(value, str):
        return value
    pairs = {}
    for pair in comma_separated(value):
        job_type, equals, distribution = (part.strip() for part in pair.partition("="))
        if not (job_type and equals and distribution):
            raise ValueError(f"{pair!r} is not `job type=distribution`")
        pairs[job_type] = distribution
    return pairs


class PluginSettings(StoreSettings):
    """Which of the installed plugins are loaded. A plugin is named by its distribution or its entry point."""

    plugins: Names | None = Field(
        default=None, description="load only these plugins (names, separated by commas); empty loads none"
    )
    plugins_disabled: Names = Field(default=(), description="do not load these plugins (names, separated by commas)")
    plugins_prefer: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description="who serves a job type that several declare: `type=distribution`, separated by commas",
    )
    plugins_import_limit: Seconds = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="the longest that loading a plugin may take, in seconds: a child process tries it first, and a "
        "plugin that ends this one is left out; 0: no trial",
    )


class WorkerSettings(PluginSettings):
    """How a worker runs."""

    name: str = Field(default="", max_length=64, description="what people call this worker; default: host and pid")
    types: Names = Field(
        default=("*",), description="serve only job types that match one of these patterns, like image.*"
    )
    concurrency: int = Field(default=100, ge=1, le=10_000, description="the most jobs that run at once in one process")
    max_held_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=1,
        description="bytes of payloads of claimed jobs in one process at which it claims no more until some have "
        "ended; in memory a payload takes some three times its size",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1000, description="the most blocking handlers at once; default: cores + 4, at most 32"
    )
    children: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description='the most child processes for handlers with isolation="process"; default: cores',
    )
    children_alone: int = Field(
        default=16,
        ge=1,
        le=256,
        description="the most jobs at once that run in child processes because a process has died under them",
    )
    child_max_jobs: int = Field(default=1000, ge=1, description="a child process is replaced after so many jobs")
    child_max_age: Seconds = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="a child process is replaced at this age, in seconds"
    )
    child_max_growth: int = Field(
        default=512 * 1024 * 1024,
        ge=1024 * 1024,
        description="a child process is replaced when it has grown by so many bytes since its first job",
    )
    processes: int = Field(default=1, ge=1, le=256, description="worker processes under the supervisor")
    grace: Seconds = Field(
        default=timedelta(seconds=30), ge=timedelta(0), description="time that running jobs get at shutdown, in seconds"
    )
    max_jobs: int | None = Field(
        default=None, ge=1, description="a process that took so many jobs makes room for a fresh one; default: never"
    )
    max_age: Seconds | None = Field(
        default=None,
        gt=timedelta(0),
        description="a process of this age, in seconds, makes room for a fresh one; default: never",
    )
    health_port: int | None = Field(
        default=None, ge=1, le=65535, description="loopback port for /livez and /readyz of this worker; default: none"
    )
    tracing: Tracing = False
    strict: bool = Field(default=False, description="a plugin that fails to load ends the worker")
