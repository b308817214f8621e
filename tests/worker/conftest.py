"""Fixtures for the worker's tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from emp_core.store import open_store
from support.bench import Bench
from support.processes import StartedProcess
from support.scratch_plugins import install

EMP = str(Path(sys.executable).with_name("emp"))

Install = Callable[..., str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder on the import path, as one more place where plugins are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def install_plugin(site: Path) -> Iterator[Install]:
    """Give a function that installs a one-module plugin for this test."""
    modules: list[str] = []

    def installed(distribution: str, source: str, **options: str) -> str:
        modules.append(install(site, distribution, source, **options))
        importlib.invalidate_caches()
        return modules[-1]

    yield installed

    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
async def bench(redis_url: str, namespace: str) -> AsyncIterator[Bench]:
    """Give a store of the test's own namespace."""
    async with open_store(redis_url, namespace) as store:
        yield Bench(store, redis_url, namespace)


@pytest.fixture
def start_worker(bench: Bench, start_process: Callable[..., StartedProcess]) -> Callable[..., StartedProcess]:
    """Give a function that starts `emp worker` with options."""

    def start(*options: str, **env: str) -> StartedProcess:
        args = [EMP, "worker", "--redis-url", bench.url, "--namespace", bench.namespace, *options]
        return start_process(args, env=env)

    return start
