"""The operator's list: what is wrong in it is said before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from emp_plugin_script import Script, ScriptResult, emp_job_types
from emp_plugin_script.commands import Argument, Command
from emp_worker import InvalidJobType, JobType
from emp_worker.testing import run_job

Make = Callable[[str], JobType]
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[commands.go", "table declaration"),
        ("commands = 7", "commands: "),
        ("[commands.Go]\nargv = ['/bin/true']", "commands.Go"),
        ("[commands.go]\nargv = []", "commands.go.argv"),
        ("[commands.go]\nargv = ['true']", "absolute path"),
        ("[commands.go]\nargv = ['/bin/{x}']", "absolute path"),
        ("[commands.go]\nargv = ['/bin/true', '{x}']", "argv uses x, which arguments does not declare"),
        ("[commands.go]\nargv = ['/bin/true']\n[commands.go.arguments]\nx = {}", "argv does not use x"),
        (
            "[commands.go]\nargv = ['/bin/true', '--v={x}']\n[commands.go.arguments]\nx = {type = 'flag'}",
            "at the beginning",
        ),
        ("[commands.go]\nargv = ['/bin/true', '{x}']\n[commands.go.arguments]\nx = {pattern = '('}", "pattern: "),
        (
            "[commands.go]\nargv = ['/bin/true', '{x}']\n[commands.go.arguments]\nx = {default = 7}",
            "default: is not a text",
        ),
        ("[commands.go]\nargv = ['/bin/true']\nshell = true", "commands.go.shell"),
        ("[commands.go]\nargv = ['/bin/true']\ntimeout_seconds = 0", "timeout_seconds"),
    ],
)
def test_a_mistake_is_told_with_its_place(script: Make, text: str, told: str):
    with pytest.raises(InvalidJobType, match=re.escape(told)) as caught:
        script(text)

    assert "EMP_SCRIPT_COMMANDS" in str(caught.value)


def test_a_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_SCRIPT_COMMANDS", "/nowhere/commands.toml")

    with pytest.raises(InvalidJobType, match="No such file"):
        emp_job_types()


def test_the_example_of_the_readme_is_a_list(script: Make):
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)

    job_type = script(text)
    run = run_job(job_type, {"command": "backup", "arguments": {"folder": "../etc"}})

    assert job_type.examples == ({"command": "backup", "arguments": {"folder": "summer"}},)
    assert run.error is not None
    assert run.error["code"] == "bad_arguments"


def test_every_option_and_field_is_explained():
    fields = {name for model in (Command, Argument, Script, ScriptResult) for name in model.model_fields}

    assert {name for name in fields if f"`{name}`" not in README} == set()


def test_every_code_is_explained():
    source = "".join(file.read_text("utf-8") for file in (Path(__file__).parent.parent / "src").rglob("*.py"))

    assert {code for code in re.findall(r'code="(\w+)"', source) if f"`{code}`" not in README} == set()
