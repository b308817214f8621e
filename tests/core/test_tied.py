"""A tied process lives no longer than the process that started it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from emp_core.tied import end_tied, start_tied
from support.processes import is_alive
from support.waiting import wait_until

pytestmark = pytest.mark.process

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def test_it_is_the_program_itself_with_its_arguments(tmp_path):
    with (tmp_path / "output").open("wb") as output:
        process = start_tied(
            [sys.executable, "-c", "import os, sys; print(os.getpid(), sys.argv[1:])", "a b", ""], output=output
        )
        process.wait(10)

    assert (tmp_path / "output").read_text() == f"{process.pid} ['a b', '']\n"
    end_tied(process, signal.SIGTERM, timeout=1)


def test_it_is_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path):
    with (tmp_path / "output").open("wb") as output:
        process = start_tied([sys.executable, "-c", "import os; print(os.getsid(0), os.getpgid(0))"], output=output)
        process.wait(10)

    assert (tmp_path / "output").read_text() == f"{process.pid} {process.pid}\n"
    end_tied(process, signal.SIGTERM, timeout=1)


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    process = subprocess_that_is_deaf(tmp_path)

    end_tied(process, signal.SIGTERM, timeout=0.2)

    assert process.returncode == -signal.SIGKILL
    assert not is_alive(process.pid)


def subprocess_that_is_deaf(tmp_path) -> subprocess.Popen[bytes]:
    with (tmp_path / "output").open("wb") as output:
        process = start_tied([sys.executable, "-c", DEAF], output=output)
    wait_until(lambda: "deaf" in (tmp_path / "output").read_text())
    return process
