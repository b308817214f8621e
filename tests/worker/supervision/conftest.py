"""Workers in processes of their own, with a plugin that misbehaves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bench import Bench
from support.processes import StartedProcess
from support.scratch_plugins import install

EMP = str(Path(sys.executable).with_name("emp"))

Start = Callable[..., StartedProcess]


@pytest.fixture
def start_naughty(tmp_path: Path, start_worker: Start) -> Start:
    """Give a function that starts `emp worker` with the plugin of naughty.py beside the installed ones."""
    site = tmp_path / "naughty-site"
    site.mkdir()
    install(site, "emp-plugin-naughty", Path(__file__).with_name("naughty.py").read_text(), version="1.2.3")

    def start(*options: str) -> StartedProcess:
        return start_worker(*options, PYTHONPATH=str(site))

    return start


@pytest.fixture
def start_server(bench: Bench, start_process: Start) -> Callable[[], str]:
    """Give a function that starts `emp server` and gives its URL."""

    def start() -> str:
        server = start_process([EMP, "server", "--port", "0", "--redis-url", bench.url, "--namespace", bench.namespace])
        return server.wait_for(r"http://127\.0\.0\.1:\d+")[0]

    return start
