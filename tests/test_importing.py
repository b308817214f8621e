"""EMP's processes start without what the libraries would import and nobody here uses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from emp_core.importing import import_without

pytestmark = pytest.mark.process

UNUSED = {"rich", "pygments", "opentelemetry.sdk"}


def imported_by(code: str) -> set[str]:
    """Give all modules that a new Python has imported after some code, for which every setting is wrong."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\ntry:\n {code}\nexcept SystemExit: pass\nprint(*sys.modules)"],
        env={**os.environ, "EMP_LOG_LEVEL": "nonsense"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import emp_worker.process", {"structlog", "redis"}),
        ("import emp_worker.isolation_child", {"structlog"}),
        ("import emp_core.cli; sys.argv[1:] = ['worker']; emp_core.cli.main()", {"structlog", "redis"}),
        ("import emp_core.cli; sys.argv[1:] = ['server']; emp_core.cli.main()", {"structlog", "redis"}),
    ],
    ids=["worker", "child", "supervisor", "server"],
)
def test_a_process_starts_without_what_it_does_not_use(code, needed):
    imported = imported_by(code)

    assert needed <= imported
    assert not imported & UNUSED


def test_what_was_left_out_can_be_imported_afterwards():
    code = "import emp_core.plain_structlog, emp_core.store, rich.console, opentelemetry.metrics, structlog"

    assert {"rich.console", "opentelemetry.metrics"} <= imported_by(code)


def test_what_is_imported_already_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "emp_somebodys", sys)

    import_without("colorsys", missing="emp_somebodys")

    assert sys.modules["emp_somebodys"] is sys


def test_a_library_that_is_not_there_is_an_import_error_and_hides_nothing():
    with pytest.raises(ImportError):
        import_without("no_such_module", missing="emp_nobodys")

    assert "emp_nobodys" not in sys.modules
