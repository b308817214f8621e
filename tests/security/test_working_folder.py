"""Python files of the working folder are not imported, whatever starts a process there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emp_command import EmpCommand
from support.processes import StartedProcess
from support.waiting import wait_until

pytestmark = pytest.mark.process

NAMES = ("structlog", "msgspec", "redis", "pydantic", "uvicorn", "fastapi")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Return a folder with modules that are named as those that EMP imports; each leaves a file when it runs."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'caught')!r}, 'a').write({name!r})\n")
    return tmp_path


@pytest.mark.parametrize("command", [("plugins",), ("plugin", "check", "emp-plugin-simulation")], ids=" ".join)
def test_a_command_imports_nothing_of_the_working_folder(
    emp_command: EmpCommand, trap: Path, command: tuple[str, ...]
) -> None:
    ran = emp_command.run(*command, cwd=trap, env=dict(os.environ))

    assert ran.returncode == 0, ran.stderr
    assert not (trap / "caught").exists()


@pytest.mark.slow
def test_a_worker_and_the_whole_stack_import_nothing_of_the_working_folder(
    start_process: Callable[..., StartedProcess], trap: Path
) -> None:
    emp = str(Path(sys.executable).with_name("emp"))
    stack = start_process([emp, "dev", "--port", "0"], cwd=trap)

    wait_until(lambda: "worker_started" in stack.output() or stack.popen.poll() is not None, 60)

    assert "worker_started" in stack.output(), stack.output()
    assert not (trap / "caught").exists()
