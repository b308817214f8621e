"""Fixtures for the worker's tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.scratch_plugins import install

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
