"""`emp` imports a command when it runs, and none of them to list them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

import emp_core.cli
from emp_core.cli import BUILT_IN, OUR_ENTRY_POINTS, emp

pytestmark = pytest.mark.process

HEAVY = {
    "redis",
    "pydantic",
    "pydantic_settings",
    "httpx2",
    "rich",
    "fastapi",
    "asyncio",
    "msgspec",
    "structlog",
    "pluggy",
}


def imported_by(*arguments: str) -> set[str]:
    """Give every module that `emp` with these arguments imports."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "emp_core.cli", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ran.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_listing_the_commands_imports_none_of_them(arguments):
    modules = imported_by(*arguments)

    assert not {name.partition(".")[0] for name in modules} & (HEAVY | {"emp_server", "emp_worker"})
    assert not {place.place.partition(":")[0] for place in BUILT_IN.values()} & modules


@pytest.mark.parametrize("name", [*BUILT_IN, *OUR_ENTRY_POINTS])
def test_the_help_of_a_command_imports_nothing_heavy(name):
    top = {module.partition(".")[0] for module in imported_by(name, "--help")}

    assert not top & {"redis", "httpx2", "rich", "fastapi", "pydantic_settings"}


def processor_seconds_of(*arguments: str) -> float:
    """Give what a Python process takes at best of five: processor time, as other processes have a part in the other."""

    def once() -> float:
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    return min(once() for _ in range(5))


def test_help_costs_less_than_150_ms():
    """A machine on which the import of click alone takes most of that may take longer, in proportion."""
    least = processor_seconds_of("-c", "import click, importlib.metadata")

    assert processor_seconds_of("-m", "emp_core.cli", "--help") < max(0.15, 1.6 * least)


@pytest.mark.parametrize("name", [*BUILT_IN, *OUR_ENTRY_POINTS])
def test_the_line_in_the_list_is_the_commands_own(name):
    listed = BUILT_IN[name].short_help if name in BUILT_IN else OUR_ENTRY_POINTS[name]

    command = emp.get_command(click.Context(emp), name)

    assert command is not None
    assert command.get_short_help_str(limit=200).rstrip(".") == listed.rstrip(".")


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(emp, ["frobnicate"]).exit_code == 2


@pytest.fixture
def entry_point(monkeypatch):
    """Put one entry point of another package in the place of the installed ones."""

    def put(value: str) -> None:
        entry = EntryPoint("extra", value, emp_core.cli.ENTRY_POINTS)
        monkeypatch.setattr(emp_core.cli, "entry_points", lambda group: [entry])

    return put


def test_another_package_can_add_a_command(entry_point):
    entry_point("emp_core.cli.jobs:jobs")

    assert "extra" in CliRunner().invoke(emp, ["--help"]).output
    assert CliRunner().invoke(emp, ["extra", "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "value", ["no_such_module:x", "emp_core.cli.jobs:no_such_command", "emp_core.cli.jobs:COLUMNS"]
)
def test_a_command_that_cannot_be_loaded_says_why_and_costs_no_other(entry_point, value):
    entry_point(value)

    ran = CliRunner().invoke(emp, ["extra"])

    assert ran.exit_code == 1
    assert "emp extra" in ran.output
    assert not isinstance(ran.exception, (ImportError, AttributeError))
    assert CliRunner().invoke(emp, ["--help"]).exit_code == 0
