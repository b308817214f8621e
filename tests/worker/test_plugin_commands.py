"""`emp plugin test`, and `emp plugin check --against`, in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from support.emp_command import EmpCommand
from support.processes import StartedProcess
from support.running import running_stack
from support.scratch_plugins import an_echo, install

Emp = Callable[..., subprocess.CompletedProcess[str]]

SPEAKS = """
from pydantic import BaseModel, Field
from emp_worker import JobError, JobType, hookimpl

class Words(BaseModel):
    text: str = Field(description="the text")
    times: int = Field(default=1, description="how often")

async def speak(payload: Words, job):
    print("noise from the handler")
    job.progress(0.5, "half way")
    job.log.warning("speaking")
    if payload.text == "bad":
        raise JobError("a bad word", retryable=False)
    if payload.text == "again":
        raise ValueError(f"attempt {job.attempt}")
    return [payload.text] * payload.times

async def wait(payload: Words, job):
    import asyncio
    job.progress(0.1, "waiting")
    await asyncio.Event().wait()

async def swallow(payload: Words, job):
    import asyncio
    job.progress(0.1, "deaf")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

async def block(payload: Words, job):
    import time
    job.progress(0.1, "deaf")
    while True:
        time.sleep(0.1)

def in_a_thread(payload: Words, job):
    import time
    job.progress(0.1, "deaf")
    while True:
        time.sleep(0.1)

@hookimpl
def emp_job_types():
    return [
        JobType("words.speak", speak, examples=[{"text": "hello"}]),
        JobType("words.wait", wait),
        JobType("words.swallow", swallow),
        JobType("words.block", block),
        JobType("words.thread", in_a_thread),
    ]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder on the command's path where plugins can be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def emp(emp_command: EmpCommand, place: Path, tmp_path: Path) -> Emp:
    """Give a function that runs `emp` with the plugins of `place` beside the installed ones."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return emp_command.run(*arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(place)}, stdin=stdin)

    return run


@pytest.fixture
def words(place: Path) -> None:
    """Install a plugin to try."""
    install(place, "emp-plugin-words", SPEAKS)


@pytest.fixture(scope="module")
def server(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server that knows `drift.echo`, and two jobs that wait for it."""
    folder = tmp_path_factory.mktemp("old")
    install(folder, "emp-plugin-drift", an_echo("drift.echo"), version="1.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with running_stack(valkey.url, folder / "stack.log") as url:
            with EmpClient(url) as client:
                for _ in range(2):
                    client.submit("drift.echo", {"text": "later"}, delay=3600)
            yield url


@pytest.mark.usefixtures("words")
def test_a_handler_is_performed_here_and_its_result_printed(emp: Emp):
    run = emp("plugin", "test", "words.speak", "-p", "text=hi", "-p", "times=2")

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == ["hi", "hi"]
    assert "50% half way" in run.stderr
    assert "warning: speaking" in run.stderr
    assert "noise from the handler" in run.stderr


@pytest.mark.usefixtures("words")
def test_without_a_payload_the_first_example_is_taken(emp: Emp):
    assert json.loads(emp("plugin", "test", "words.speak").stdout) == ["hello"]


@pytest.mark.usefixtures("words")
def test_the_payload_comes_from_a_file_or_standard_input(emp: Emp, tmp_path: Path):
    (tmp_path / "payload.json").write_text('{"text": "from a file"}')

    from_file = emp("plugin", "test", "words.speak", "--payload", "@payload.json")
    from_stdin = emp("plugin", "test", "words.speak", "--payload", "-", stdin='{"text": "from stdin"}')

    assert json.loads(from_file.stdout) == ["from a file"]
    assert json.loads(from_stdin.stdout) == ["from stdin"]


@pytest.mark.usefixtures("words")
def test_the_json_tells_the_whole_run(emp: Emp):
    run = emp("plugin", "test", "words.speak", "-p", "text=hi", "--json")

    assert json.loads(run.stdout) == {
        "outcome": "completed",
        "result": ["hi"],
        "error": None,
        "progress": [{"fraction": 0.5, "message": "half way"}],
        "log": [{"level": "warning", "message": "speaking"}],
    }


@pytest.mark.usefixtures("words")
def test_a_failure_exits_3_and_says_why(emp: Emp):
    run = emp("plugin", "test", "words.speak", "-p", "text=bad")

    assert (run.returncode, run.stdout) == (3, "")
    assert "Failed: JobError: a bad word" in run.stderr


@pytest.mark.usefixtures("words")
def test_an_attempt_that_would_be_tried_again_says_so(emp: Emp):
    run = emp("plugin", "test", "words.speak", "-p", "text=again", "--attempt", "2")

    assert run.returncode == 3
    assert "Retry: ValueError: attempt 2" in run.stderr
    assert "A worker would try it again." in run.stderr


@pytest.mark.usefixtures("words")
def test_a_payload_that_does_not_fit_exits_9_with_its_place(emp: Emp):
    run = emp("plugin", "test", "words.speak", "--payload", '{"text": 7}')

    assert run.returncode == 9
    assert "/text: " in run.stderr


@pytest.mark.usefixtures("words")
def test_a_plugin_with_several_types_asks_which(emp: Emp):
    run = emp("plugin", "test", "emp-plugin-words")

    assert run.returncode == 2
    assert "has several job types: words.speak, words.wait, " in run.stderr


def test_a_plugin_with_one_type_is_name_enough(emp: Emp, place: Path):
    install(place, "emp-plugin-echo", an_echo("echo.echo"), entry="echo = emp_plugin_echo")

    assert json.loads(emp("plugin", "test", "echo").stdout) == {"text": "hello"}


def test_an_unknown_name_exits_6(emp: Emp):
    run = emp("plugin", "test", "nobody")

    assert run.returncode == 6
    assert "nobody" in run.stderr


def test_a_plugin_that_does_not_load_says_why(emp: Emp, place: Path):
    install(place, "emp-plugin-broken", "import no_such_module")

    run = emp("plugin", "test", "emp-plugin-broken")

    assert run.returncode == 6
    assert "no_such_module" in run.stderr


@pytest.mark.usefixtures("words")
def test_ctrl_c_calls_the_handler_off(start_process: Callable[..., StartedProcess], place: Path):
    command = [sys.executable, "-m", "emp_core.cli", "plugin", "test", "words.wait", "-p", "text=x"]
    process = start_process(command, env={"PYTHONPATH": str(place)})
    process.wait_for("waiting")

    process.send(signal.SIGINT)

    assert process.wait() == 130
    assert process.output().splitlines()[-1] == "Cancelled."


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("name", ["words.swallow", "words.block", "words.thread"])
def test_a_second_ctrl_c_ends_what_will_not_be_called_off(
    start_process: Callable[..., StartedProcess], place: Path, name: str
):
    command = [sys.executable, "-m", "emp_core.cli", "plugin", "test", name, "-p", "text=x"]
    process = start_process(command, env={"PYTHONPATH": str(place)})
    process.wait_for("deaf")

    process.send(signal.SIGINT)
    process.wait_for("Ctrl-C again ends it at once")
    process.send(signal.SIGINT)

    assert process.wait() == 130


def test_against_a_server_that_takes_the_same_nothing_is_wrong(emp: Emp, place: Path, server: str):
    install(place, "emp-plugin-drift", an_echo("drift.echo"), version="1.1")

    run = emp("plugin", "check", "drift.echo", "--against", server)

    assert run.returncode == 0, run.stdout
    assert "drift\tok\ttakes every payload that emp-plugin-drift 1.0 takes" in run.stdout


def test_against_a_server_a_change_that_refuses_waiting_jobs_exits_1(emp: Emp, place: Path, server: str):
    install(place, "emp-plugin-drift", an_echo("drift.echo").replace("text: str", "text: int"), version="2.0")

    run = emp("plugin", "check", "drift.echo", "--against", server, "--json")

    assert run.returncode == 1
    (row,) = [row for row in json.loads(run.stdout) if row["check"] == "drift"]
    assert row["verdict"] == "failed"
    assert row["message"] == (
        "/text: string is not taken any more (against emp-plugin-drift 1.0; 2 jobs may wait with such a payload)"
    )


def test_against_a_server_what_cannot_be_told_exits_0_and_says_so(emp: Emp, place: Path, server: str):
    source = an_echo("drift.echo").replace('description="the text"', 'description="the text", pattern="^"')
    install(place, "emp-plugin-drift", source, version="2.0")

    run = emp("plugin", "check", "drift.echo", "--against", server)

    assert run.returncode == 0
    assert "drift\tunknown\t/text: cannot tell: texts must be like" in run.stdout


def test_against_a_server_a_new_type_is_no_trouble(emp: Emp, place: Path, server: str):
    install(place, "emp-plugin-fresh", an_echo("fresh.echo"))

    run = emp("plugin", "check", "fresh.echo", "--against", server)

    assert run.returncode == 0
    assert "the server does not know it yet" in run.stdout


def test_against_nobody_exits_8(emp: Emp):
    assert emp("plugin", "check", "--against", "http://127.0.0.1:9").returncode == 8
