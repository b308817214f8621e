"""The trial: plugins are loaded in a child process first, and what ends that one is left out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog.testing

from emp_core.settings import load
from emp_worker.settings import PluginSettings
from support.processes import is_alive
from support.scratch_plugins import OURS, an_echo, load_ours
from support.waiting import wait_until

pytestmark = pytest.mark.process

LIMIT = timedelta(seconds=20)


@pytest.fixture
def tried(tmp_path: Path) -> Callable[[], list[str]]:
    """Give a function that lists which plugins were imported outside this process, in order."""

    def read() -> list[str]:
        lines = [line.split() for path in tmp_path.glob("imported") for line in path.read_text().splitlines()]
        return [name for name, pid in lines if int(pid) != os.getpid()]

    return read


@pytest.fixture
def install_traced(install_plugin: Callable[..., str], tmp_path: Path) -> Callable[..., None]:
    """Give a function that installs a plugin whose import leaves a trace, and then does something else."""

    def install(name: str, then: str = "") -> None:
        trace = (
            f"import os\nwith open({str(tmp_path / 'imported')!r}, 'a') as f: print({name!r}, os.getpid(), file=f)\n"
        )
        install_plugin(f"emp-plugin-{name}", trace + then + "\n" + an_echo(f"{name}.echo"))

    return install


def test_sound_plugins_are_tried_once_by_one_child(install_traced, tried):
    for name in ("one", "two"):
        install_traced(name)

    plugins = load_ours(import_limit=LIMIT)

    assert {"one.echo", "two.echo"} <= plugins.types.keys()
    assert tried() == ["one", "two"]


def test_after_a_death_the_trial_goes_on_behind_the_culprit(install_traced, tried):
    install_traced("a")
    install_traced("b", then="os._exit(7)")
    install_traced("c")

    plugins = load_ours(import_limit=LIMIT, disabled=OURS)

    assert plugins.types.keys() == {"a.echo", "c.echo"}
    assert [failure.distribution for failure in plugins.failures] == ["emp-plugin-b"]
    assert "exit code 7" in plugins.failures[0].why
    assert tried() == ["a", "b", "c"]


def test_a_limit_of_zero_tries_nothing(install_traced, tried):
    install_traced("one")

    assert "one.echo" in load_ours(import_limit=timedelta(0)).types
    assert tried() == []


def test_what_is_not_wanted_is_not_tried(install_traced, tried):
    install_traced("one", then="os._exit(0)")

    plugins = load_ours(import_limit=LIMIT, disabled=["emp-plugin-one"])

    assert plugins.failures == ()
    assert tried() == []


def test_a_plugin_that_raises_is_told_as_without_a_trial(install_plugin):
    install_plugin("emp-plugin-broken", "raise ValueError('no')")

    (failure,) = load_ours(import_limit=LIMIT).failures

    assert failure.why == "ValueError: no"
    assert "emp_plugin_broken.py" in failure.traceback


def test_the_last_words_of_a_crash_name_the_line(install_plugin):
    install_plugin("emp-plugin-crash", "import ctypes\nprint('so far so good', flush=True)\nctypes.string_at(0)")

    (failure,) = load_ours(import_limit=LIMIT).failures

    assert "so far so good" in failure.traceback
    assert "emp_plugin_crash.py" in failure.traceback


def test_much_output_of_a_trial_does_not_block_it_and_its_end_is_kept(install_plugin):
    install_plugin("emp-plugin-talks", "import os\nprint('x' * 5_000_000, 'end', flush=True)\nos._exit(1)")

    (failure,) = load_ours(import_limit=LIMIT).failures

    assert failure.traceback.endswith("x end")
    assert len(failure.traceback) < 20_000


def test_what_a_plugin_starts_while_it_is_tried_ends_with_the_trial(install_plugin, tmp_path):
    started = tmp_path / "started"
    install_plugin(
        "emp-plugin-parent",
        "import os\npid = os.posix_spawnp('sleep', ['sleep', '600'], os.environ)\n"
        f"with open({str(started)!r}, 'a') as f: print(pid, file=f)\n" + an_echo("parent.echo"),
    )

    load_ours(import_limit=LIMIT, disabled=OURS)

    of_the_trial, ours = map(int, started.read_text().split())
    wait_until(lambda: not is_alive(of_the_trial))
    assert is_alive(ours)
    os.kill(ours, signal.SIGKILL)
    os.waitpid(ours, 0)


def test_a_trial_that_cannot_begin_costs_no_plugin(install_plugin, monkeypatch: pytest.MonkeyPatch):
    install_plugin("emp-plugin-one", an_echo("one.echo"))
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    with structlog.testing.capture_logs() as logged:
        plugins = load_ours(import_limit=LIMIT)

    assert "one.echo" in plugins.types
    assert [line["event"] for line in logged] == ["plugins_not_tried"]


def test_the_trial_ends_by_itself_when_nobody_waits_for_it(install_plugin, tmp_path):
    pid_file = tmp_path / "pid"
    install_plugin(
        "emp-plugin-endless",
        f"import os, pathlib, threading\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        "threading.Event().wait()",
    )
    code = "from datetime import timedelta\nfrom emp_worker.plugins import load_plugins\n"
    code += "load_plugins(import_limit=timedelta(seconds=2))"
    worker = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    trial = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), 20))

    worker.kill()
    worker.wait()

    wait_until(lambda: not is_alive(trial), 20)


def test_plugins_are_tried_by_default_for_a_minute():
    assert load(PluginSettings).plugins_import_limit == timedelta(minutes=1)
