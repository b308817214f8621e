"""The tutorial works as it stands: its files are written, its commands are run, and what they say is what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from support.processes import free_port
from support.waiting import wait_until

TUTORIAL = Path(__file__).parent.parent.parent / "docs" / "tutorials" / "your-first-job-type.md"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EMP = str(Path(sys.executable).with_name("emp"))
START = "emp dev"
JOB_TYPE = "text.wordcount"


@dataclass(frozen=True)
class Step:
    """One command, and what it must print (`...` stands for anything)."""

    command: str
    expected: str


def files(page: str) -> dict[str, str]:
    """Give the files that a page shows, by their paths."""
    return {path: content for _, path, content in FENCE.findall(page) if path}


def steps(page: str) -> Iterator[Step]:
    """Give the commands that a page shows, in order."""
    for kind, _, content in FENCE.findall(page):
        if kind == "console":
            for block in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
                command, _, expected = block.partition("\n")
                yield Step(command, expected)


def is_as_shown(said: str, expected: str) -> bool:
    """Compare with what the page shows, where `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None


def environment(site: Path, data: Path, port: int) -> Mapping[str, str]:
    """Give an environment in which the page's commands touch neither .venv nor another server."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one upside down: no isolation, so nothing is downloaded
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "EMP_PORT": str(port),
        "EMP_URL": f"http://127.0.0.1:{port}",
        "EMP_DATA_DIR": str(data),
    }


def run(command: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a terminal would: what goes to standard error is seen, too."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def serves_the_new_type(url: str) -> bool:
    with EmpClient(url) as client:
        return JOB_TYPE in {each.job_type for each in client.job_types() if each.workers_online}


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(tmp_path, start_process):
    page = TUTORIAL.read_text("utf-8")
    env = environment(tmp_path / "site", tmp_path / "data", free_port())
    for path, content in files(page).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")

    for step in steps(page):
        if step.command == START:
            start_process([EMP, "dev"], env=env).wait_for("EMP answers at", timeout=30)
            wait_until(lambda: serves_the_new_type(env["EMP_URL"]), timeout=20)
            continue
        done = run(step.command, tmp_path, env)
        assert is_as_shown(done.stdout, step.expected), f"$ {step.command}\n{done.stdout}"


def test_the_page_shows_what_the_test_needs():
    page = TUTORIAL.read_text("utf-8")

    assert len(files(page)) == 3
    assert START in [step.command for step in steps(page)]
    assert len(list(steps(page))) >= 8


def test_what_differs_from_the_page_is_noticed():
    assert is_as_shown("a\nb\nc\n", "a\n...\nc")
    assert not is_as_shown("a\nb\n", "a\n...\nc")
