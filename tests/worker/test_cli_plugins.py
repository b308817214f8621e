"""`emp plugins` and `emp plugin check`, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.emp_command import EmpCommand
from support.scratch_plugins import FOREIGN, an_echo, install, load_ours

Emp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder on the command's path where plugins can be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def emp(emp_command: EmpCommand, place: Path, tmp_path: Path) -> Emp:
    """Give a function that runs `emp` with the plugins of `place` beside the installed ones."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return emp_command.run(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(place), **settings})

    return run


def test_plugins_lists_what_is_installed_a_line_each(emp: Emp):
    run = emp("plugins")

    assert run.returncode == 0
    assert "emp-plugin-image\t0.1.0\tloaded\timage.thumbnail, image.convert, image.montage\t" in run.stdout.splitlines()
    assert "emp-plugin-simulation\t0.1.0\tloaded\tsimulation.run, simulation.run_blocking\t" in run.stdout.splitlines()


def test_a_plugin_that_exits_at_import_is_shown_with_its_reason(emp: Emp, place: Path):
    install(place, "emp-plugin-rude", "raise SystemExit('bye')", version="0.3")

    run = emp("plugins")

    assert run.returncode == 0
    why = "failed at import of plugin: SystemExit: bye"
    assert f"emp-plugin-rude\t0.3\tfailed\t\t{why}" in run.stdout.splitlines()
    assert run.stderr == ""
    assert "simulation.run" in run.stdout


def test_the_json_is_whole_whatever_a_plugin_prints(emp: Emp, place: Path):
    install(place, "emp-plugin-chatty", "print('hello', flush=True)\n" + an_echo("chatty.echo"))

    run = emp("plugins", "--json")

    rows = {row["distribution"]: row for row in json.loads(run.stdout)}
    assert rows["emp-plugin-chatty"]["job_types"] == ["chatty.echo"]


def test_a_failure_has_its_phase_and_traceback_in_the_json(emp: Emp, place: Path):
    install(place, "emp-plugin-broken", "import no_such_module")

    run = emp("plugins", "--json")

    (row,) = [row for row in json.loads(run.stdout) if row["distribution"] == "emp-plugin-broken"]
    assert (row["state"], row["phase"]) == ("failed", "import")
    assert "no_such_module" in row["traceback"]


def test_no_load_imports_no_plugin(emp: Emp, place: Path, tmp_path: Path):
    trace = tmp_path / "imported"
    install(place, "emp-plugin-trace", f"open({str(trace)!r}, 'w').close()")

    run = emp("plugins", "--no-load")

    assert run.returncode == 0
    assert "emp-plugin-trace\t1.0\tfound\t\t" in run.stdout.splitlines()
    assert not trace.exists()


def test_without_plugins_it_says_what_to_do_and_exits_0(emp: Emp):
    run = emp("plugins", EMP_PLUGINS="", EMP_PLUGINS_DISABLED="")

    assert run.returncode == 0
    assert all("disabled" in line for line in run.stdout.splitlines())


def test_a_disabled_plugin_is_listed_as_such(emp: Emp):
    run = emp("plugins", EMP_PLUGINS_DISABLED="emp-plugin-image")

    assert "emp-plugin-image\t0.1.0\tdisabled\t\t" in run.stdout.splitlines()


def test_a_name_that_no_installed_plugin_has_is_told(emp: Emp):
    run = emp("plugins", EMP_PLUGINS="image,htpp")

    assert "EMP_PLUGINS names htpp, and no installed plugin has this name" in run.stderr
    assert "emp-plugin-image\t0.1.0\tloaded" in run.stdout


def test_a_plugin_that_only_observes_is_no_unknown_name(emp: Emp, place: Path):
    source = "from emp_worker import hookimpl\n@hookimpl\ndef emp_worker_started(worker): pass"
    install(place, "emp-plugin-observer", source)

    run = emp("plugin", "check", "emp-plugin-observer")

    assert run.returncode == 0
    assert run.stdout.startswith("emp-plugin-observer\t\tjob types\tskipped\tit declares no job type")


def test_check_of_our_own_plugins_finds_nothing_wrong(emp: Emp):
    run = emp("plugin", "check", "--json", EMP_PLUGINS_DISABLED=",".join(FOREIGN))

    assert run.returncode == 0, run.stdout
    rows = json.loads(run.stdout)
    assert {row["job_type"] for row in rows} == load_ours().types.keys()
    assert {row["verdict"] for row in rows} == {"ok"}


@pytest.mark.parametrize("name", ["image", "simulation"])
def test_check_performs_the_examples_of_what_needs_nobody_else(emp: Emp, name: str):
    run = emp("plugin", "check", name, "--run", "--json")

    assert run.returncode == 0, run.stdout
    assert {row["check"] for row in json.loads(run.stdout)} >= {"run", "cancel"}


IMAGE = {"image.thumbnail", "image.convert", "image.montage"}


@pytest.mark.parametrize(
    ("name", "types"), [("emp-plugin-image", IMAGE), ("image", IMAGE), ("image.thumbnail", {"image.thumbnail"})]
)
def test_check_takes_the_name_of_a_plugin_or_of_a_job_type(emp: Emp, name: str, types: set[str]):
    run = emp("plugin", "check", name)

    assert run.returncode == 0
    assert {line.split("\t")[1] for line in run.stdout.splitlines()} == types


def test_check_exits_1_and_says_what_to_do(emp: Emp, place: Path):
    install(place, "emp-plugin-poor", an_echo("poor.echo").replace('= Field(description="the text")', ""))

    run = emp("plugin", "check", "poor.echo")

    assert run.returncode == 1
    assert "Text.text has no description; give Field(description=...)" in run.stdout


def test_check_of_a_plugin_that_does_not_load_fails(emp: Emp, place: Path):
    install(place, "emp-plugin-broken", "import no_such_module")

    run = emp("plugin", "check", "emp-plugin-broken")

    assert run.returncode == 1
    assert "no_such_module" in run.stdout


def test_check_of_an_unknown_name_exits_6(emp: Emp):
    run = emp("plugin", "check", "nobody")

    assert run.returncode == 6
    assert "nobody" in run.stderr


def processor_seconds_of_listing(place: Path, plugins: int) -> float:
    """Give what `emp plugins` takes, the trial's child with it; whatever else the machine does is not in it."""
    before = os.times()
    listed = subprocess.run(
        [sys.executable, "-m", "emp_core.cli", "plugins"],
        env={"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    after = os.times()
    assert len([line for line in listed.stdout.splitlines() if line.startswith("emp-plugin-p")]) == plugins
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_hundred_plugins_are_listed_in_two_seconds(place: Path):
    """A machine on which none of them takes long by itself may take longer, in proportion."""
    none = processor_seconds_of_listing(place, 0)
    for number in range(100):
        install(place, f"emp-plugin-p{number}", an_echo(f"p{number}.echo"))

    assert processor_seconds_of_listing(place, 100) < max(2.0, 2.5 * none)


def test_help_of_the_worker_side_imports_neither_pydantic_nor_pluggy():
    code = (
        "import sys, emp_worker.cli; print([name for name in ('pydantic', 'pluggy', 'redis') if name in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
