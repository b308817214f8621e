"""Finding and loading plugins: one that is broken costs the others nothing and keeps its reason."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import structlog.testing

from emp_core.errors import SettingsError
from emp_core.jobs import Cancelled
from emp_core.settings import load
from emp_worker.discovery import Phase, PluginFailure, find_plugins
from emp_worker.plugins import Plugins, load_plugins, tell
from emp_worker.process import check
from emp_worker.settings import PluginSettings, WorkerSettings
from support.attempts import a_context
from support.scratch_plugins import an_echo, load_ours

SOUND = "emp-plugin-sound"


def the_failure(plugins: Plugins) -> PluginFailure:
    (failure,) = plugins.failures
    return failure


def test_a_sound_plugin_is_served(install_plugin):
    install_plugin(SOUND, an_echo("sound.echo"), version="2.5")

    served = load_ours().types["sound.echo"]

    assert (served.distribution, served.version) == (SOUND, "2.5")
    assert served.announcement().job_type == "sound.echo"


def test_the_repositorys_own_plugins_are_served():
    assert {"image.thumbnail", "simulation.run", "simulation.run_blocking"} <= load_ours().types.keys()


BROKEN = {
    "import-error": ("import does_not_exist_at_all", Phase.IMPORT, "does_not_exist_at_all"),
    "syntax-error": ("def :", Phase.IMPORT, "SyntaxError"),
    "system-exit": ("import sys; sys.exit('bye')", Phase.IMPORT, "SystemExit: bye"),
    "base-exception": ("class Odd(BaseException): pass\nraise Odd('no')", Phase.IMPORT, "Odd: no"),
    "generator-exit": ("raise GeneratorExit", Phase.IMPORT, "GeneratorExit"),
    "stop-iteration": ("raise StopIteration", Phase.IMPORT, "StopIteration"),
    "hooks-nothing": ("x = 1", Phase.HOOKS, "declare its job types in emp_job_types"),
    "unmarked-hook": ("def emp_job_types(): return []", Phase.HOOKS, "put @hookimpl above it"),
    "wrong-hook": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_job_typos(): return []",
        Phase.HOOKS,
        "emp_job_typos",
    ),
    "wrong-argument": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_around_job(task): ...",
        Phase.HOOKS,
        "task",
    ),
    "bad-name": (an_echo("Bad Name"), Phase.JOB_TYPES, "cannot name a job type"),
    "not-a-model": (
        an_echo("a.b").replace("class Text(BaseModel)", "class Text(dict)"),
        Phase.JOB_TYPES,
        "must be a pydantic model",
    ),
    "no-schema": (
        an_echo("a.b")
        .replace("text: str", "text: type(lambda: 1)")
        .replace("(BaseModel):", "(BaseModel, arbitrary_types_allowed=True):"),
        Phase.JOB_TYPES,
        "JsonSchema",
    ),
    "not-job-types": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_job_types(): return ['a.b']",
        Phase.JOB_TYPES,
        "give JobType(...) objects",
    ),
    "no-list": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_job_types(): return 7",
        Phase.JOB_TYPES,
        "emp_job_types gave int; give a list of JobType(...) objects",
    ),
    "nothing": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_job_types(): pass",
        Phase.JOB_TYPES,
        "emp_job_types gave None; return a list",
    ),
    "declares-and-exits": (
        "from emp_worker import hookimpl\n@hookimpl\ndef emp_job_types(): raise SystemExit(4)",
        Phase.JOB_TYPES,
        "SystemExit: 4",
    ),
    "twice": (an_echo("a.b").replace("[JobType(", "2 * [JobType("), Phase.JOB_TYPES, "a.b twice"),
}


@pytest.mark.parametrize(("source", "phase", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_keeps_its_reason_and_the_others_are_served(install_plugin, source, phase, told):
    install_plugin("emp-plugin-broken", source, version="0.3")
    install_plugin(SOUND, an_echo("sound.echo"))

    plugins = load_ours()

    assert "sound.echo" in plugins.types
    failure = the_failure(plugins)
    assert (failure.distribution, failure.version, failure.entry_point) == ("emp-plugin-broken", "0.3", "plugin")
    assert failure.phase == phase
    assert told in failure.why
    assert "Traceback" in failure.traceback or phase is not Phase.IMPORT


def test_an_entry_point_that_names_nothing_keeps_its_reason(install_plugin):
    install_plugin("emp-plugin-broken", "x = 1", entry="plugin = emp_plugin_broken:missing")

    failure = the_failure(load_ours())

    assert failure.phase is Phase.IMPORT
    assert "missing" in failure.why


def test_metadata_that_cannot_be_read_keeps_its_reason_and_the_others_are_served(install_plugin, site: Path):
    install_plugin(SOUND, an_echo("sound.echo"))
    broken = site / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_text("[emp_worker]\nthis line has no equals sign\n")

    plugins = load_ours()

    assert "sound.echo" in plugins.types
    assert the_failure(plugins).phase is Phase.METADATA
    assert "broken-1.0.dist-info" in the_failure(plugins).distribution


def test_broken_metadata_of_others_is_none_of_our_business(site: Path):
    broken = site / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_text("[console_scripts]\nthis line has no equals sign\n")

    assert load_ours().failures == ()


def test_a_person_can_still_interrupt_an_import(install_plugin):
    install_plugin("emp-plugin-slow", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        load_ours()


def test_what_a_plugin_prints_at_import_stays_out_of_stdout(install_plugin, capsys: pytest.CaptureFixture[str]):
    install_plugin("emp-plugin-chatty", "print('hello')\n" + an_echo("chatty.echo"))

    load_ours()

    assert capsys.readouterr() == ("", "hello\n")


def test_a_type_that_two_declare_is_served_by_neither_and_both_are_named(install_plugin):
    install_plugin("emp-plugin-one", an_echo("same.echo"))
    install_plugin("emp-plugin-two", an_echo("same.echo"), version="2.0")

    plugins = load_ours()

    assert "same.echo" not in plugins.types
    assert {failure.distribution for failure in plugins.failures} == {"emp-plugin-one", "emp-plugin-two"}
    for failure in plugins.failures:
        assert failure.phase is Phase.CONFLICT
        assert "emp-plugin-one 1.0 and emp-plugin-two 2.0" in failure.why
        assert "EMP_PLUGINS_PREFER=same.echo=" in failure.why


def test_a_setting_chooses_between_two_that_declare_one_type(install_plugin):
    install_plugin("emp-plugin-one", an_echo("same.echo"))
    install_plugin("emp-plugin-two", an_echo("same.echo"))

    plugins = load_ours(prefer={"same.echo": "Emp_Plugin.two"})

    assert plugins.types["same.echo"].distribution == "emp-plugin-two"
    assert plugins.failures == ()


def test_preferring_one_that_does_not_declare_the_type_chooses_nothing(install_plugin):
    install_plugin("emp-plugin-one", an_echo("same.echo"))
    install_plugin("emp-plugin-two", an_echo("same.echo"))

    assert "same.echo" not in load_ours(prefer={"same.echo": "emp-plugin-three"}).types


@pytest.mark.parametrize("name", ["emp-plugin-one", "EMP_Plugin.One", "first"])
def test_a_plugin_can_be_left_out_by_its_distribution_or_entry_point(install_plugin, name):
    module = install_plugin("emp-plugin-one", an_echo("one.echo"), entry="first = emp_plugin_one")

    plugins = load_plugins(disabled=[name])

    assert "one.echo" not in plugins.types
    assert [plugin.distribution for plugin in plugins.disabled] == ["emp-plugin-one"]
    assert module not in sys.modules


def test_only_the_named_plugins_are_loaded(install_plugin):
    install_plugin("emp-plugin-one", an_echo("one.echo"))
    module = install_plugin("emp-plugin-two", "raise SystemExit", entry="other = emp_plugin_two")

    plugins = load_plugins(only=["emp-plugin-one"])

    assert set(plugins.types) == {"one.echo"}
    assert plugins.failures == ()
    assert module not in sys.modules


def test_an_empty_list_loads_none(install_plugin):
    install_plugin("emp-plugin-one", an_echo("one.echo"))

    assert load_plugins(only=[]).types == {}


def test_finding_imports_nothing(install_plugin):
    module = install_plugin("emp-plugin-one", "raise SystemExit")

    found, failures = find_plugins()

    assert "emp-plugin-one" in [plugin.distribution for plugin in found]
    assert failures == []
    assert module not in sys.modules


def test_of_two_installed_versions_the_first_on_the_path_counts(install_plugin, site: Path):
    install_plugin("emp-plugin-one", an_echo("one.echo"), version="1.0")
    shadowed = site / "later"
    shadowed.mkdir()
    sys.path.append(str(shadowed))
    later = shadowed / "Emp_Plugin_One-0.9.dist-info"
    later.mkdir()
    (later / "METADATA").write_text("Metadata-Version: 2.1\nName: Emp_Plugin.One\nVersion: 0.9\n")
    (later / "entry_points.txt").write_text("[emp_worker]\nplugin = emp_plugin_one\n")

    plugins = load_ours()

    assert plugins.types["one.echo"].version == "1.0"
    assert plugins.failures == ()


def test_a_hundred_plugins_load_and_one_does_not_disturb_another(install_plugin):
    for number in range(100):
        install_plugin(f"emp-plugin-p{number}", an_echo(f"p{number}.echo"))

    assert len([name for name in load_ours().types if re.fullmatch(r"p\d+\.echo", name)]) == 100


def test_the_report_is_json_with_each_plugins_state(install_plugin):
    install_plugin("emp-plugin-left-out", an_echo("left.out"))
    install_plugin("emp-plugin-broken", "raise SystemExit")
    install_plugin(SOUND, an_echo("sound.echo"))

    report = load_plugins(disabled=["emp-plugin-left-out"]).report()

    rows = {row["distribution"]: row for row in json.loads(json.dumps(report))}
    assert rows["emp-plugin-left-out"]["state"] == "disabled"
    assert rows["emp-plugin-broken"]["state"] == "failed"
    assert rows["emp-plugin-broken"]["phase"] == "import"
    assert rows[SOUND] == {
        "distribution": SOUND,
        "version": "1.0",
        "entry_point": "plugin",
        "state": "loaded",
        "job_types": ["sound.echo"],
    }


OBSERVER = """
from emp_worker import hookimpl
heard = []

@hookimpl
def emp_job_finished(outcome):
    heard.append(outcome)
    {then}
"""


def test_an_observer_that_fails_is_logged_and_the_next_one_still_hears(install_plugin):
    modules = [
        install_plugin(f"emp-plugin-{name}", OBSERVER.format(then="raise RuntimeError('deaf')"))
        for name in ("one", "two")
    ]
    plugins = load_ours()
    outcome = Cancelled(a_context().job_id, "7-abc")

    with structlog.testing.capture_logs() as logged:
        tell(plugins.hooks.emp_job_finished, job=a_context(), outcome=outcome)

    assert [sys.modules[module].heard for module in modules] == [[outcome], [outcome]]
    assert [line["event"] for line in logged] == ["hook_failed", "hook_failed"]
    assert logged[0]["error"] == "RuntimeError: deaf"


@pytest.mark.parametrize(
    ("text", "plugins"), [("", ()), ("a", ("a",)), (" a , b,", ("a", "b"))], ids=["none", "one", "two"]
)
def test_the_list_of_plugins_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, text, plugins):
    monkeypatch.setenv("EMP_PLUGINS", text)

    assert load(PluginSettings).plugins == plugins


def test_without_the_setting_all_plugins_are_wanted():
    assert load(PluginSettings).plugins is None


def test_preferences_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_PLUGINS_PREFER", "a.b=emp-plugin-one, c.d = emp-plugin-two")

    assert load(PluginSettings).plugins_prefer == {"a.b": "emp-plugin-one", "c.d": "emp-plugin-two"}


def test_a_preference_without_a_distribution_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_PLUGINS_PREFER", "a.b")

    with pytest.raises(SettingsError, match="job type=distribution"):
        load(PluginSettings)


def test_a_wanted_plugin_that_is_not_installed_is_named_by_the_worker_and_no_trouble_to_the_others(install_plugin):
    install_plugin(SOUND, an_echo("sound.echo"))
    plugins = load_plugins(only=(SOUND, "emp-plugin-htpp"))

    with structlog.testing.capture_logs() as logged:
        check(WorkerSettings(), plugins)

    assert list(plugins.types) == ["sound.echo"]
    assert [(line["event"], line["names"]) for line in logged] == [("plugins_absent", ("emp-plugin-htpp",))]


@pytest.mark.parametrize("only", [(SOUND, "emp-plugin-htpp"), (SOUND, "emp-plugin-broken")])
def test_a_strict_worker_does_not_start_without_a_plugin_that_is_wanted(install_plugin, only):
    install_plugin(SOUND, an_echo("sound.echo"))
    install_plugin("emp-plugin-broken", "import no_such_module")

    with pytest.raises(SettingsError, match="the worker is strict"):
        check(WorkerSettings(strict=True), load_plugins(only=only))
