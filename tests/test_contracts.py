"""The import contracts of pyproject.toml hold, and each of them breaks on a stray import."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(copy: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_source_keeps_every_contract(copy):
    found = lint_imports(copy)

    assert found.returncode == 0, found.stdout


STRAYS = [
    ("emp_server/stray.py", "import emp_worker", "emp_core knows neither side"),
    ("emp_worker/stray.py", "import emp_server", "emp_core knows neither side"),
    ("emp_core/stray.py", "import emp_server", "emp_core knows neither side"),
    ("emp_core/stray.py", "import emp_worker", "emp_core knows neither side"),
    ("emp_core/cli/stray.py", "import redis", "only emp_core.store speaks Redis"),
    ("emp_server/routes/stray.py", "import redis.asyncio", "only emp_core.store speaks Redis"),
    ("emp_worker/stray.py", "import fakeredis", "only emp_core.store speaks Redis"),
    (
        "emp_worker/stray.py",
        "from starlette.applications import Starlette",
        "only emp_server imports the web framework",
    ),
    ("emp_core/stray.py", "import uvicorn", "only emp_server imports the web framework"),
    ("emp_core/tracing/stray.py", "import opentelemetry.sdk", "only emp_core.tracing knows OpenTelemetry"),
    ("emp_server/stray.py", "from opentelemetry import trace", "only emp_core.tracing knows OpenTelemetry"),
    ("emp_server/stray.py", "import pluggy", "only emp_worker imports the plugin manager"),
    ("emp_core/client/stray.py", "import emp_core.store", "the client speaks HTTP, not to the store"),
    ("emp_core/jobs.py", "import pathlib", "what a job is does no I/O"),
    ("emp_core/messages.py", "import emp_core.settings", "what a job is does no I/O"),
]
"""Modules with an import that they must not have, and the beginning of the name of the contract that forbids it."""


def test_every_stray_import_is_found_by_its_contract(copy):
    for stray, line, _ in STRAYS:
        with (copy / "src" / stray).open("a") as file:
            file.write(f"\n{line}\n")

    found = lint_imports(copy)

    assert found.returncode == 1
    for stray, line, contract in STRAYS:
        target = line.split()[1]
        if not target.startswith("emp_"):
            target = target.partition(".")[0]  # of another distribution, its top package is named
        chain = rf"^-\s+{stray.removesuffix('.py').replace('/', '.')} -> {target} "
        assert re.search(chain, section(found.stdout, contract), re.MULTILINE), (stray, line, found.stdout)


def section(report: str, contract: str) -> str:
    """Return what the report says about one broken contract: the lines below its underlined name."""
    [start] = [match.end() for match in re.finditer(rf"^{contract}.*\n-+\n", report, re.MULTILINE)]
    following = re.search(r"^.*\n-+\n", report[start:], re.MULTILINE)
    return report[start : start + following.start()] if following else report[start:]
