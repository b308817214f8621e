"""The commands of the README and of the how-to pages work as they stand, against a server and a worker that run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from support.pages import page

ROOT = Path(__file__).parent.parent.parent
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
CLIENTS = re.compile(r"^(?:emp (?:submit|jobs|job|types|workers)\b|curl |ID=)", re.MULTILINE)
"""Commands that need nothing but a server: those that start or install something are tested where that is built."""
ACTIVATE = "source .venv/bin/activate\n"
QUICK = {"steps": 1, "step_seconds": 0}


def scripts(name: str) -> list[str]:
    """Give the blocks of a page that hold commands for a running server."""
    text = page(name)
    indented = (re.sub("^ {4}", "", block, flags=re.MULTILINE) for block in INDENTED.findall(FENCE.sub("", text)))
    blocks = [*(content for kind, content in FENCE.findall(text) if kind in {"", "console"}), *indented]
    return [block.removeprefix(ACTIVATE) for block in blocks if CLIENTS.search(block)]


def run(script: str, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run commands as a terminal would; the first that fails ends them."""
    port = url.rpartition(":")[2]
    (folder / "examples").symlink_to(ROOT / "examples")
    return subprocess.run(
        ["sh", "-e", "-c", re.sub(r"(127\.0\.0\.1|localhost):8321", f"127.0.0.1:{port}", script)],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "EMP_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_of_the_readme_work(emp_url, tmp_path):
    done = run("\n".join(scripts("README.md")), emp_url, tmp_path)

    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr
    assert "HTTP/1.1 202" in done.stdout
    assert '"urn:emp:problem:invalid-payload"' in done.stdout
    assert done.stdout.count('"state":"completed"') >= 2
    assert '"job_type": "image.thumbnail"' in done.stdout


@pytest.mark.parametrize(
    ("name", "prepared"),
    [
        ("schedule-for-later", ""),
        ("cancel", "waiting"),
        ("retries-and-errors", "failed"),
        ("watch-from-any-language", "completed"),
    ],
)
def test_the_commands_of_a_how_to_page_work(emp_url, tmp_path, name, prepared):
    with EmpClient(emp_url) as client:
        ids = {
            "": lambda: "",
            "waiting": lambda: client.submit("simulation.run", QUICK, delay=3600).id,
            "failed": lambda: (
                client.submit("simulation.run", {**QUICK, "fail_attempts": 9}, max_attempts=1, wait=20).id
            ),
            "completed": lambda: client.submit("simulation.run", QUICK, wait=20).id,
        }
        commands = re.sub(r"\bID\b", ids[prepared](), "\n".join(scripts(f"docs/how-to/{name}.md")))

    done = run(commands, emp_url, tmp_path)

    assert commands
    assert (done.returncode, done.stderr.count("Error")) == (0, 0), done.stderr
    assert "urn:emp:problem" not in done.stdout
