"""Releases of EMP, built as wheels from commits of the history, and a store that they work on together."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from emp_core.store.format import OLDEST_FORMAT
from support.pages import ROOT
from support.processes import StartedProcess, free_port

REQUIRED = "EMP_TEST_REQUIRE_HISTORY"
"""With it a test fails where the history is missing, as in a shallow clone, instead of being skipped."""
PARTS = (".", "plugins/emp-plugin-simulation")

Start = Callable[..., StartedProcess]


def git(*arguments: str) -> bytes:
    """Return what git answers about this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def first_commit_with(text: str) -> str:
    """Return the first commit whose sources hold a text; skip the test if there is no history to look in."""
    try:
        commits = git("log", "--reverse", "--format=%H", f"-S{text}", "--", "src").decode().split()
        git("rev-parse", f"{commits[0]}^")
    except (OSError, IndexError, subprocess.CalledProcessError):
        if os.environ.get(REQUIRED):
            raise
        pytest.skip("the history of the repository is not here")
    return commits[0]


def build(commit: str, folder: Path) -> Path:
    """Build the wheels of a commit and unpack them; return the folder to put on Python's path."""
    sources, site = folder / "sources", folder / "site"
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as archive:
        archive.extractall(sources, filter="data")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    parts = [str(sources / part) for part in PARTS]
    wheels = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder / "wheels"), *parts]
    subprocess.run(wheels, check=True, capture_output=True)
    built = [str(wheel) for wheel in (folder / "wheels").glob("*.whl")]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), *built]
    subprocess.run(install, check=True, capture_output=True)
    loaded = [sys.executable, "-c", "import emp_core, emp_plugin_simulation; print(emp_core.__file__)"]
    where = subprocess.run(
        loaded, env={**os.environ, "PYTHONPATH": str(site)}, check=True, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(site)), "the processes would run the code under test"
    return site


@dataclass(frozen=True, slots=True)
class Release:
    """A release of EMP: `site` is where its wheels are, or None for the code under test."""

    name: str
    site: Path | None = None

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which its processes run."""
        only = {"EMP_PLUGINS": "emp-plugin-simulation"}
        return only if self.site is None else {**only, "PYTHONPATH": str(self.site)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its `emp` command."""
        command = [sys.executable, "-m", "emp_core.cli", *arguments]
        env = {**os.environ, **self.env}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


PRESENT = Release("present")


@pytest.fixture(scope="session")
def same_format(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return the oldest release that knows the oldest format of the present one."""
    commit = first_commit_with(f"OLDEST_FORMAT: Final = {OLDEST_FORMAT}")
    return Release("same format", build(commit, tmp_path_factory.mktemp("same")))


@pytest.fixture(scope="session")
def other_format(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return the last release before that: the store that it writes has to be migrated."""
    commit = first_commit_with(f"OLDEST_FORMAT: Final = {OLDEST_FORMAT}")
    return Release("other format", build(f"{commit}^", tmp_path_factory.mktemp("other")))


@dataclass
class Site:
    """A store on which processes of several releases are started."""

    store: EmbeddedStore
    start: Start
    running: dict[str, list[StartedProcess]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def server(self, release: Release) -> StartedProcess:
        """Start a server of a release; `client` speaks to it."""
        port = free_port()
        self.urls[release.name] = f"http://127.0.0.1:{port}"
        return self._start(release, "server", "--port", str(port))

    def worker(self, release: Release) -> StartedProcess:
        """Start a worker of a release."""
        return self._start(release, "worker", "--grace", "1")

    def client(self, release: Release) -> EmpClient:
        """Return a client of the release's server, which waits until that is there."""
        return EmpClient(self.urls[release.name], patience=30.0)

    def stop(self, release: Release) -> list[int]:
        """Stop every process of a release; return their exit codes."""
        processes = self.running.pop(release.name)
        for process in processes:
            process.popen.terminate()
        return [process.wait(30) for process in processes]

    def emp(self, release: Release, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of a release on the store."""
        return release.run(*arguments, "--redis-url", self.store.url)

    def _start(self, release: Release, *arguments: str) -> StartedProcess:
        command = [sys.executable, "-m", "emp_core.cli", *arguments, "--redis-url", self.store.url]
        process = self.start(command, env=release.env)
        self.running.setdefault(release.name, []).append(process)
        return process


@pytest.fixture
def site(tmp_path: Path, start_process: Start) -> Iterator[Site]:
    """Return a store with nothing in it and on it."""
    with EmbeddedStore(tmp_path / "data", port=0) as store:
        yield Site(store, start_process)


def exit_code(process: StartedProcess) -> int:
    """Return the exit code of a process that is about to end."""
    return process.wait(40)


def verdict(found: subprocess.CompletedProcess[str]) -> Sequence[str]:
    """Return the lines of `emp doctor` that are not fine, without those on what the test's store is like."""
    return [line for line in found.stdout.splitlines() if not re.match(r"ok\b|warning\s+persistence", line)]
