"""The museum of broken plugins: each costs only itself, and is named with its reason wherever one would look."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emp_core.client import EmpClient, WorkerView
from emp_core.store.embedded import EmbeddedStore
from emp_worker.discovery import Phase
from support.pace import allowed
from support.running import running_stack
from support.scratch_plugins import FOREIGN, load_ours
from support.waiting import wait_until

pytestmark = pytest.mark.process

MUSEUM = Path(__file__).parent / "museum"
ENDLESS = {"endless_import", "endless_declaration"}


@dataclass(frozen=True)
class Exhibit:
    """How far a plugin comes, and what is said of it."""

    phase: Phase
    told: str


EXHIBITS: Mapping[str, Exhibit] = {
    "bad_type_name": Exhibit(Phase.JOB_TYPES, "'Museum: Bad Name' cannot name a job type"),
    "broken_metadata": Exhibit(Phase.METADATA, "its metadata cannot be read: ValueError: it has no name or no version"),
    "contested": Exhibit(Phase.CONFLICT, "museum.contested is declared by museum-contested 1.0 and"),
    "crash": Exhibit(Phase.IMPORT, "ended the process with SIGSEGV"),
    "duplicate_type": Exhibit(Phase.JOB_TYPES, "emp_job_types gave museum.duplicate twice"),
    "endless_declaration": Exhibit(Phase.JOB_TYPES, "did not come to an end within "),
    "endless_import": Exhibit(Phase.IMPORT, "did not come to an end within "),
    "import_error": Exhibit(Phase.IMPORT, "ImportError: libexhibit.so is too old"),
    "keyboard_interrupt": Exhibit(Phase.IMPORT, "ended the process with SIGINT"),
    "missing_dependency": Exhibit(Phase.IMPORT, "is not installed: pip install 'frobnicate-the-missing>=2'"),
    "missing_object": Exhibit(Phase.IMPORT, "AttributeError: module 'museum_missing_object' has no attribute 'plugin'"),
    "newer_emp": Exhibit(Phase.REQUIREMENTS, "it needs emp-jobs>=99, and"),
    "no_schema": Exhibit(Phase.JOB_TYPES, "Cannot generate a JsonSchema"),
    "os_exit": Exhibit(Phase.IMPORT, "ended the process with exit code 0"),
    "payload_no_model": Exhibit(Phase.JOB_TYPES, "must be a pydantic model"),
    "replaces_another": Exhibit(Phase.CONFLICT, "museum-replaces-another 1.0, so neither serves it"),
    "syntax_error": Exhibit(Phase.IMPORT, "SyntaxError"),
    "system_exit": Exhibit(Phase.IMPORT, "SystemExit: no licence found"),
    "unmarked_hook": Exhibit(Phase.HOOKS, "put @hookimpl above it"),
    "wrong_hook_argument": Exhibit(Phase.HOOKS, "verdict"),
    "wrong_hook_name": Exhibit(Phase.HOOKS, "emp_job_typos"),
    "wrong_signature": Exhibit(Phase.JOB_TYPES, "a handler is `(payload)` or `(payload, job)`"),
}
TRACED = {"crash": "museum_crash.py", "endless_import": "museum_endless_import.py", "endless_declaration": "in wait"}
"""What the last words of those show that cannot raise an error."""
ONE_OF_EACH_KIND = {
    "bad_type_name",
    "broken_metadata",
    "crash",
    "import_error",
    "missing_dependency",
    "newer_emp",
    "system_exit",
    "unmarked_hook",
}
"""Those that `make test` loads one by one; the others are slow tests. All together are loaded by every run."""
ALONE = [
    pytest.param(exhibit, marks=() if exhibit in ONE_OF_EACH_KIND else pytest.mark.slow)
    for exhibit in sorted(EXHIBITS.keys() - {"contested", "replaces_another"})
]


def name_of(exhibit: str) -> str:
    """Give the distribution of an exhibit; one whose metadata cannot be read is named by its place."""
    if exhibit == "broken_metadata":
        return str(MUSEUM / exhibit / "museum_broken_metadata-1.0.dist-info")
    return f"museum-{exhibit.replace('_', '-')}"


def patience() -> float:
    """Give the seconds that a plugin may take: few, as two never end, but enough for a sound one on a busy machine."""
    return allowed(2.0, starts=3)


def the_whole_museum() -> dict[str, str]:
    """Give the environment of a process that has all of it installed."""
    folders = sorted(str(folder) for folder in MUSEUM.iterdir() if folder.is_dir())
    return {
        "PYTHONPATH": os.pathsep.join(folders),
        "EMP_PLUGINS_DISABLED": ",".join(FOREIGN),
        "EMP_PLUGINS_IMPORT_LIMIT": f"{patience():g}",
    }


def sound() -> set[str]:
    """Give what a worker serves that has the whole museum installed: what it served before, and two exhibits."""
    return {"museum.noisy", "museum.uncontested", *load_ours().types}


def explained(rows: list[Mapping[str, Any]]) -> dict[str, Exhibit]:
    """Give the exhibits of which a reason is told, each with what its expected reason was found to be."""
    told = {(row["distribution"], row["phase"]): row["why"] for row in rows if "why" in row}
    return {
        exhibit: expected
        for exhibit, expected in EXHIBITS.items()
        if expected.told in told.get((name_of(exhibit), str(expected.phase)), "")
    }


@pytest.fixture
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Install one exhibit, in this process."""
    monkeypatch.syspath_prepend(str(MUSEUM / request.param))
    yield request.param
    for module in [each for each in sys.modules if each.startswith("museum_")]:
        del sys.modules[module]
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def stack(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmpClient, Path]]:
    """Run a server and a worker that has the whole museum installed; give a client and the log of both."""
    log = tmp_path_factory.mktemp("museum") / "stack.log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in the_whole_museum().items():
            patch.setenv(name, value)
        with running_stack(valkey.url, log) as url, EmpClient(url) as client:
            yield client, log


def the_worker(client: EmpClient) -> WorkerView:
    (worker,) = wait_until(client.workers)
    return worker


def test_every_exhibit_has_its_line():
    folders = {folder.name for folder in MUSEUM.iterdir() if folder.is_dir()}

    assert folders == EXHIBITS.keys() | {"noisy"}


@pytest.mark.parametrize("alone", ALONE, indirect=True)
def test_alone_it_keeps_its_reason_and_all_others_are_served(alone: str):
    limit = patience() if alone in ENDLESS else 60

    plugins = load_ours(import_limit=timedelta(seconds=limit))

    assert plugins.types.keys() >= {"image.thumbnail", "simulation.run", "simulation.run_blocking"}
    (failure,) = plugins.failures
    assert (failure.distribution, failure.phase) == (name_of(alone), EXHIBITS[alone].phase)
    assert EXHIBITS[alone].told in failure.why
    assert TRACED.get(alone, "") in failure.traceback
    assert alone not in ENDLESS or f"within {limit:g} s" in failure.why


def test_a_worker_serves_and_performs_all_that_is_sound(stack: tuple[EmpClient, Path]):
    client, _ = stack

    served = the_worker(client).types.keys()
    submitted = [client.submit(name, {"text": "hello"}) for name in ("museum.noisy", "museum.uncontested")]
    done = [client.wait(job.id, 60) for job in submitted]

    assert served == sound()
    assert [job.result for job in done] == [{"text": "hello"}, {"text": "hello"}]


def test_the_workers_status_names_each_with_its_reason(stack: tuple[EmpClient, Path]):
    client, _ = stack

    assert explained(list(the_worker(client).plugins)) == EXHIBITS


def test_the_workers_log_names_each_with_its_reason(stack: tuple[EmpClient, Path]):
    _, log = stack

    lines = [json.loads(line) for line in log.read_text().splitlines() if '"plugin_failed"' in line]

    assert explained(lines) == EXHIBITS


def test_the_command_names_each_with_its_reason_and_its_json_is_whole():
    listed = subprocess.run(
        [sys.executable, "-m", "emp_core.cli", "plugins", "--json"],
        env={**os.environ, **the_whole_museum()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    rows = json.loads(listed.stdout)
    assert explained(rows) == EXHIBITS
    assert {name for row in rows for name in row["job_types"]} == sound()
    assert "noise below Python" in listed.stderr
