"""`emp plugin check --run`: handlers are performed in a child process, and what they do to it is a finding."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emp_worker.discovery import find_plugins
from emp_worker.examples_apart import perform_apart
from emp_worker.findings import Finding, Verdict
from emp_worker.loading import LoadedPlugin, load_plugin
from support.emp_command import EmpCommand

pytestmark = pytest.mark.process

HEAD = """
import asyncio, os, signal, sys, time
from pydantic import BaseModel, Field
from emp_worker import JobContext, JobError, JobType, hookimpl

class Text(BaseModel):
    text: str = Field(description="the text")

@hookimpl
def emp_job_types():
    return [JobType("tried.run", handle, examples=[{"text": "a"}, {"text": "b"}], **OPTIONS)]

OPTIONS = {}
"""

EXITED = (
    "example 1 ended the process with exit code 0, and would take a worker with it; "
    'isolation="process" keeps that from its neighbours'
)
SWALLOWS = """
async def handle(payload: Text):
    while True:
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
"""

Performed = Callable[[str], list[Finding]]


@pytest.fixture
def performed(install_plugin: Callable[..., str], told: list[str]) -> Performed:
    """Give a function that performs the examples of a handler, given by its source, in a child."""

    def perform(source: str) -> list[Finding]:
        install_plugin("emp-plugin-tried", HEAD + source)
        (found,) = (each for each in find_plugins()[0] if each.distribution == "emp-plugin-tried")
        plugin = load_plugin(found)
        assert isinstance(plugin, LoadedPlugin)
        (job_type,) = plugin.job_types
        payloads = {"example 1": b'{"text": "a"}', "example 2": b'{"text": "b"}'}
        return perform_apart(found, job_type, payloads, told.append)

    return perform


@pytest.fixture
def told() -> list[str]:
    """Keep the steps that are told."""
    return []


def words(findings: list[Finding]) -> list[tuple[str, Verdict, str]]:
    return [(each.check, each.verdict, each.message) for each in findings]


def test_a_sound_handler_passes_and_each_step_is_told(performed: Performed, told: list[str]):
    findings = performed("async def handle(payload: Text) -> str: return payload.text")

    assert words(findings) == [("run", Verdict.OK, ""), ("cancel", Verdict.OK, "")]
    assert told == ["tried.run: run, example 1", "tried.run: run, example 2", "tried.run: cancel, example 1"]


def test_a_handler_that_exits_as_if_all_were_well_has_failed(performed: Performed):
    findings = performed("async def handle(payload: Text): os._exit(0)")

    assert words(findings) == [
        (
            "run",
            Verdict.FAILED,
            EXITED,
        ),
        ("cancel", Verdict.SKIPPED, "example 1 has ended the process"),
    ]


def test_what_was_found_before_a_crash_is_kept(performed: Performed):
    findings = performed(
        """
        def handle(payload: Text):
            if payload.text == "a":
                raise JobError("not this one", code="odd")
            os.kill(os.getpid(), signal.SIGSEGV)

        OPTIONS["isolation"] = "process"
        """.replace("\n        ", "\n")
    )

    assert words(findings)[:2] == [
        ("run", Verdict.FAILED, "example 1 did not complete: JobError [odd]: not this one"),
        ("run", Verdict.FAILED, "example 2 ended the process with SIGSEGV"),
    ]


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("def handle(payload: Text):\n    while True: time.sleep(0.01)", "call job.raise_if_cancelled() now and then"),
        (
            SWALLOWS,
            "let CancelledError through",
        ),
    ],
    ids=["a thread", "a coroutine that swallows it"],
)
def test_a_handler_that_never_ends_is_killed_and_named(
    performed: Performed, monkeypatch: pytest.MonkeyPatch, source: str, remedy: str
):
    monkeypatch.setattr("emp_worker.examples_apart.CANCEL_BOUND", 0.3)
    monkeypatch.setattr("emp_worker.examples_apart._MARGIN", 0.2)

    findings = performed(source + "\n\nOPTIONS['timeout'] = 0.1\n")

    assert words(findings) == [
        ("run", Verdict.FAILED, f"example 1 went on for 0.5 s after it was called off, and was killed; {remedy}"),
        ("cancel", Verdict.SKIPPED, "example 1 has ended the process"),
    ]


def test_the_command_performs_another_payload_where_the_examples_need_what_is_not_here(
    emp_command: EmpCommand, tmp_path: Path
):
    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "EMP_HTTP_TARGETS": "", "EMP_PLUGINS": "http"}
        wanted = ("plugin", "check", "http.request", "--run", "--json", *arguments)
        return emp_command.run(*wanted, cwd=tmp_path, env=env)

    without, instead = check(), check("--payload", '{"url": "http://127.0.0.1:1/"}')

    assert (without.returncode, instead.returncode) == (1, 1)
    assert "perform another payload with --payload" in without.stderr
    told = {row["message"] for row in json.loads(instead.stdout) if row["check"] in {"run", "cancel"}}
    assert any(each.startswith("the payload did not complete: JobError [target_not_allowed]: ") for each in told)
    assert any(each.startswith("the payload was not called off, it ended with JobError [target_") for each in told)
