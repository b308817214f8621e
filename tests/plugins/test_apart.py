"""Plugins stand apart: from EMP's insides, from the server, and from each other."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import emp_worker
from support.pages import ROOT

pytestmark = pytest.mark.process

PLUGINS = sorted((ROOT / "plugins").glob("emp-plugin-*"))
SIDES = ("emp_core", "emp_server", "emp_worker")


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Give the modules that a file imports, and the names that it takes from each."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def modules_after(code: str) -> set[str]:
    """Give the modules that a fresh process has after some code."""
    command = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_needs_nothing_but_the_public_names_of_emp_worker(plugin: Path):
    files = list((plugin / "src").rglob("*.py"))
    taken = {pair for file in files for pair in imports(file) if pair[0].split(".")[0] in SIDES}

    assert files
    assert {module for module, _ in taken} == {"emp_worker"}
    assert {name for _, name in taken} <= set(emp_worker.__all__)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_is_typed(plugin: Path):
    (package,) = (plugin / "src").iterdir()

    assert (package / "py.typed").exists()


def test_what_a_plugin_imports_of_emp_is_typed():
    assert [side for side in SIDES if not (ROOT / "src" / side / "py.typed").exists()] == []


def test_plugins_and_what_they_need_never_reach_the_server():
    """They are installed here beside it, and it imports none of them, nor what finds them."""
    loaded = modules_after("import emp_server.cli, emp_server.serving")

    assert {name for name in loaded if name.startswith(("emp_plugin_", "emp_worker", "PIL", "pluggy"))} == set()


def test_loading_one_plugin_imports_nothing_that_others_need():
    loaded = modules_after(
        "from emp_worker.plugins import load_plugins\n"
        "plugins = load_plugins(only=('emp-plugin-simulation',))\n"
        "assert list(plugins.types) == ['simulation.run', 'simulation.run_blocking']"
    )

    assert {name.split(".")[0] for name in loaded if name.startswith("emp_plugin_")} == {"emp_plugin_simulation"}
    assert loaded & {"PIL", "httpcore2", "websockets", "numpy", "onnxruntime"} == set()


def test_what_plugins_take_of_emp_imports_neither_the_store_nor_a_client():
    """Each plugin is tried in a process of its own first, so what it must import decides how soon a worker is there."""
    names = ", ".join(emp_worker.__all__)

    assert (
        modules_after(f"from emp_worker import {names}") & {"redis", "structlog", "httpx2", "emp_core.store"} == set()
    )
