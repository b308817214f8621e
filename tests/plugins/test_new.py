"""`emp plugin new`: what it writes can be installed, passes its own tests and the contract, and harms nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from emp_worker.new_plugin import NotWritten, named, write_package
from emp_worker.plugin_commands import plugin
from support.pages import ROOT

pytestmark = pytest.mark.process

EMP = str(Path(sys.executable).with_name("emp"))


def run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


def new(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run([EMP, "plugin", "new", name], folder)


@pytest.mark.slow
def test_a_new_package_installs_and_passes_its_tests_and_the_contract(tmp_path: Path):
    site = tmp_path / "site"
    package = tmp_path / "emp-plugin-image-tools2"
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    env = {"PYTHONPATH": str(site)}

    written = new("image-tools2", tmp_path)
    installed = run([sys.executable, *pip, "--target", str(site), str(package)], tmp_path)
    tests = run([sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-W", "error", str(package)], tmp_path, env)
    checked = run([EMP, "plugin", "check", "image-tools2", "--run"], tmp_path, env)

    assert written.returncode == 0, written.stdout
    assert installed.returncode == 0, installed.stdout
    assert tests.returncode == 0, tests.stdout
    assert "3 passed" in tests.stdout
    assert checked.returncode == 0, checked.stdout
    assert "emp-plugin-image-tools2\timage-tools2.run\trun\tok" in checked.stdout
    assert (site / "emp_plugin_image_tools2" / "py.typed").exists()


def test_without_pytest_it_says_what_the_tests_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pytest", None)

    told = CliRunner().invoke(plugin, ["new", "stars", "--into", str(tmp_path)])

    assert "Its tests need more than is installed: pip install 'emp-jobs[testing]'" in told.output


@pytest.mark.slow
def test_the_way_from_nothing_to_a_checked_plugin_is_one_line(tmp_path: Path):
    """In a virtual environment of its own, which sees the packages of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name in ("emp", "pip", "pytest"):
        program = tmp_path / "venv" / "bin" / name
        module = "emp_core.cli" if name == "emp" else name
        program.write_text(f'#!/bin/sh\nexec "$(dirname "$0")/python" -m {module} "$@"\n')
        program.chmod(0o755)
    line = (
        "emp plugin new stars && pip install -e emp-plugin-stars && pytest emp-plugin-stars && emp plugin check stars"
    )
    env = {
        "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one upside down: no isolation, so nothing is downloaded
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_ADDOPTS": "-p no:valkey -p no:cacheprovider",
    }

    done = run(["sh", "-c", line], tmp_path, env)

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert "emp-plugin-stars\tstars.run\texamples\tok" in done.stdout


@pytest.mark.slow
def test_a_new_package_is_typed_and_formatted(tmp_path: Path):
    new("stars", tmp_path)
    package = tmp_path / "emp-plugin-stars"

    typed = run([sys.executable, "-m", "mypy"], package, {"MYPYPATH": "src"})
    formatted = run([sys.executable, "-m", "ruff", "format", "--check", "--line-length", "120", "."], package)
    linted = run([sys.executable, "-m", "ruff", "check", "."], package)

    assert typed.returncode == 0, typed.stdout
    assert formatted.returncode == 0, formatted.stdout
    assert linted.returncode == 0, linted.stdout


def test_the_prefix_may_be_given(tmp_path: Path):
    assert write_package(named("emp-plugin-stars"), tmp_path) == tmp_path / "emp-plugin-stars"


def test_it_can_be_written_into_another_folder(tmp_path: Path):
    (tmp_path / "there").mkdir()

    written = run([EMP, "plugin", "new", "stars", "--into", "there"], tmp_path)

    assert written.returncode == 0
    assert (tmp_path / "there" / "emp-plugin-stars" / "pyproject.toml").exists()


def test_what_is_there_is_never_touched(tmp_path: Path):
    package = tmp_path / "emp-plugin-stars"
    package.mkdir()
    (package / "notes.txt").write_text("mine")

    written = new("stars", tmp_path)

    assert written.returncode == 1
    assert "exists already; choose another name" in written.stdout
    assert [file.name for file in package.iterdir()] == ["notes.txt"]


def test_a_link_that_leads_nowhere_is_there_too(tmp_path: Path):
    (tmp_path / "emp-plugin-stars").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NotWritten, match="exists already"):
        write_package(named("stars"), tmp_path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_package_that_cannot_be_written_to_its_end_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(NotWritten, match="No space left on device"):
        write_package(named("stars"), tmp_path)

    assert list(tmp_path.iterdir()) == []


HOSTILE = {
    "up": "../stars",
    "absolute": "/tmp/stars",  # noqa: S108 - refused
    "folder": "a/b",
    "dot": ".",
    "empty": "",
    "prefix-only": "emp-plugin-",
    "blank": "my stars",
    "capitals": "Stars",
    "umlaut": "stérne",
    "digit-first": "7stars",
    "two-hyphens": "a--b",
    "hyphen-last": "stars-",
    "underscore": "my_stars",
    "template": "${module}",
    "quote": 'a"b',
    "line": "a\nb",
    "toml": 'a"]\nevil = 1',
    "long": "a" * 41,
}


def test_a_name_that_cannot_be_one_is_refused_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    for kind, name in HOSTILE.items():
        refused = CliRunner().invoke(plugin, ["new", name])

        assert refused.exit_code == 2, kind
        assert "cannot name a plugin; use 1 to 40 small letters, digits and single hyphens" in refused.output, kind
        assert list(tmp_path.iterdir()) == [], kind


def test_the_templates_are_in_the_wheel(tmp_path: Path):
    built = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], ROOT)
    assert built.returncode == 0, built.stdout

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        packed = {Path(name).name for name in files.namelist() if name.startswith("emp_worker/templates/")}

    assert packed == {file.name for file in (ROOT / "src/emp_worker/templates").iterdir()}
