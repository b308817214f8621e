"""`emp dev` and the demo: real processes, and none of them left at the end."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import venv
from pathlib import Path

import httpx2
import pytest

from emp_core.client import EmpClient
from support.processes import StartedProcess, is_alive
from support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PART = {"server": "emp_core.cli server", "worker": "emp_core.cli worker"}


def pid_of(process: StartedProcess, part: str) -> int:
    """Find the process of a part of the stack."""
    return next(pid for pid, command in process.left_running().items() if part in command)


@pytest.fixture
def start_dev(start_process, tmp_path):
    def start(*options: str) -> StartedProcess:
        command = [sys.executable, "-m", "emp_core.cli", "dev", "--port", "0", "--data-dir", str(tmp_path / "data")]
        process = start_process([*command, *options])
        process.wait_for(r"EMP answers at (\S+);", timeout=30)
        return process

    return start


def url_of(process: StartedProcess) -> str:
    return process.wait_for(r"EMP answers at (\S+);")[1]


def job_types(client: EmpClient) -> set[str]:
    return {each.job_type for each in client.job_types() if each.workers_online}


def test_ctrl_c_ends_everything(start_dev):
    dev = start_dev("--no-reload")
    parts = [pid_of(dev, PART["server"]), pid_of(dev, PART["worker"]), pid_of(dev, "valkey-server")]

    dev.interrupt_group()

    assert dev.wait(timeout=30) == 0
    assert not any(is_alive(pid) for pid in parts)
    wait_until(lambda: dev.left_running() == {}, timeout=5)


def test_who_is_told_the_address_can_submit_at_once(start_dev):
    dev = start_dev("--no-reload")

    with EmpClient(url_of(dev)) as client:
        assert "simulation.run" in job_types(client)


def test_kill_9_of_emp_dev_leaves_nothing(start_dev):
    dev = start_dev("--no-reload")

    dev.send(signal.SIGKILL)
    dev.wait()

    wait_until(lambda: dev.left_running() == {}, timeout=20)


def test_jobs_are_kept_between_runs(start_dev):
    first = start_dev("--no-reload")
    with EmpClient(url_of(first)) as client:
        job = client.submit("simulation.run", {"steps": 1, "step_seconds": 0}, wait=20)
    first.interrupt_group()
    first.wait(timeout=30)

    second = start_dev("--no-reload")

    with EmpClient(url_of(second)) as client:
        assert client.get(job.id).state == "completed"


def test_a_second_one_on_the_same_data_is_told_who_runs(start_dev, start_process, tmp_path):
    start_dev("--no-reload")

    second = start_process([sys.executable, "-m", "emp_core.cli", "dev", "--data-dir", str(tmp_path / "data")])

    assert second.wait(timeout=20) == 1
    assert "another store uses the data directory" in second.output()
    assert "Traceback" not in second.output()


def test_a_port_that_is_taken_ends_it_with_a_reason(start_dev, start_process, tmp_path):
    taken = httpx2.URL(url_of(start_dev("--no-reload"))).port

    second = start_process(
        [sys.executable, "-m", "emp_core.cli", "dev", "--no-reload", "--port", str(taken)], cwd=tmp_path
    )

    assert second.wait(timeout=30) == 1
    assert f"cannot listen on 127.0.0.1 port {taken}" in second.output()
    assert "--port" in second.output()
    wait_until(lambda: second.left_running() == {}, timeout=5)


def test_a_killed_store_comes_back_with_its_data(start_dev):
    dev = start_dev("--no-reload")
    with EmpClient(url_of(dev)) as client:
        wait_until(lambda: "simulation.run" in job_types(client), timeout=20)
        job = client.submit("simulation.run", {"steps": 1, "step_seconds": 0}, wait=20)

        os.kill(pid_of(dev, "valkey-server"), signal.SIGKILL)
        dev.wait_for("the store has ended; it starts again")

        assert client.get(job.id).state == "completed"


@pytest.mark.parametrize("part", PART)
def test_a_killed_part_starts_again(start_dev, part):
    dev = start_dev("--no-reload")
    with EmpClient(url_of(dev), patience=20) as client:
        wait_until(lambda: "simulation.run" in job_types(client), timeout=20)
        killed = pid_of(dev, PART[part])

        os.kill(killed, signal.SIGKILL)
        dev.wait_for(f"emp {part} was killed by SIGKILL; it starts again in 0.5 s")

        wait_until(lambda: PART[part] in " ".join(dev.left_running().values()), timeout=20)
        assert pid_of(dev, PART[part]) != killed
        job = client.submit("simulation.run", {"steps": 1, "step_seconds": 0}, wait=30)
    assert job.state == "completed"


def test_a_part_that_is_told_to_end_starts_again_too(start_dev):
    dev = start_dev("--no-reload")

    os.kill(pid_of(dev, PART["worker"]), signal.SIGTERM)

    dev.wait_for("emp worker ended with exit code 0; it starts again in 0.5 s")


def test_without_plugins_it_says_what_to_install_and_goes_on(start_process, tmp_path):
    python = python_without_plugins(tmp_path / "venv")
    command = [python, "-m", "emp_core.cli", "dev", "--port", "0", "--data-dir", str(tmp_path / "data"), "--no-reload"]

    dev = start_process(command)
    dev.wait_for("no plugin is installed, so nothing performs jobs: install one .*pip install", timeout=30)

    with EmpClient(url_of(dev)) as client:
        assert client.job_types() == []


def python_without_plugins(place: Path) -> str:
    """Make an environment that has what ours has, except for the plugins' packages; gives its Python."""
    venv.create(place, symlinks=True)
    [site] = place.glob("lib/python*/site-packages")
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "emp_plugin" not in each.name:
            (site / each.name).symlink_to(each)
    return str(place / "bin" / "python")


def test_a_server_that_cannot_start_ends_it_with_reload_too(start_process, tmp_path):
    command = [sys.executable, "-m", "emp_core.cli", "dev", "--reload", "--port", "0"]

    dev = start_process(command, env={"EMP_SERVER_WORKERS": "none"})

    assert dev.wait(timeout=30) == 1
    assert "EMP_SERVER_WORKERS: write a whole number" in dev.output()
    assert "emp server ended with exit code 2; its reason is above" in dev.output()


def test_a_change_of_code_starts_server_and_worker_again(start_dev):
    dev = start_dev("--reload")
    before = {pid_of(dev, part) for part in PART.values()}

    (ROOT / "src" / "emp_core" / "__init__.py").touch()

    dev.wait_for("the code has changed")
    wait_until(lambda: dev.output().count("EMP answers at") == 2, timeout=30)
    assert before.isdisjoint(dev.left_running())


def test_a_second_interrupt_does_not_wait_for_a_running_job(start_dev):
    dev = start_dev("--no-reload")
    with EmpClient(url_of(dev)) as client:
        wait_until(lambda: "simulation.run" in job_types(client), timeout=20)
        job = client.submit("simulation.run", {"steps": 1, "step_seconds": 600})
        wait_until(lambda: client.get(job.id).state == "in_progress")

    dev.interrupt_group()
    dev.wait_for("stopping")
    dev.interrupt_group()

    assert dev.wait(timeout=3) == 0
    wait_until(lambda: dev.left_running() == {}, timeout=5)


def test_the_demo_ends_well_and_leaves_nothing_running(start_process):
    demo = start_process([sys.executable, str(ROOT / "examples" / "demo.py")])

    assert demo.wait(timeout=100) == 0
    thumbnail = Path(demo.wait_for(r"^thumbnail: (.+)$")[1])
    assert thumbnail.stat().st_size > 1000
    assert "simulation that fails once: scheduled" in demo.output()
    wait_until(lambda: demo.left_running() == {}, timeout=5)
