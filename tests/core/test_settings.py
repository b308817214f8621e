"""Settings: where a value comes from, and what a wrong one is told."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from emp_core.cli.dev_settings import DevSettings
from emp_core.client.settings import ClientSettings
from emp_core.errors import SettingsError
from emp_core.setting_names import SETTING_NAMES, ignored_variables
from emp_core.settings import SETTINGS_FILE, Seconds, StoreSettings, load
from emp_server.settings import ServerSettings
from emp_worker.settings import WorkerSettings

MODELS = (StoreSettings, ServerSettings, WorkerSettings)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source as it is added."""
    seen = [load(StoreSettings).namespace]
    (folder / SETTINGS_FILE).write_text('namespace = "file"\n')
    seen.append(load(StoreSettings).namespace)
    monkeypatch.setenv("EMP_NAMESPACE", "environment")
    seen.append(load(StoreSettings).namespace)
    seen.append(load(StoreSettings, namespace="flag").namespace)

    assert seen == ["default", "file", "environment", "flag"]


def test_a_flag_that_was_not_given_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """None comes from an option without a value."""
    monkeypatch.setenv("EMP_NAMESPACE", "environment")

    assert load(StoreSettings, namespace=None).namespace == "environment"


def test_the_store_s_url_may_stand_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its password, which then is in no environment; a URL that is given itself wins."""
    (folder / "url").write_text("redis://:pw@there/0\n")
    monkeypatch.setenv("EMP_REDIS_URL_FILE", str(folder / "url"))

    by_file = load(StoreSettings).redis_url
    monkeypatch.setenv("EMP_REDIS_URL", "redis://here/0")

    assert (by_file, load(StoreSettings).redis_url) == ("redis://:pw@there/0", "redis://here/0")


def test_a_file_of_the_store_s_url_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"redis_url_file .*nowhere.* cannot be read: No such file"):
        load(StoreSettings, redis_url_file=folder / "nowhere")


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("redis://:secret@host/0", True),
        ("rediss://user:secret@host:1/0", True),
        ("redis+sentinel://u:secret@a:1,b:2/name/0", True),
        ("redis://user@host/0", False),
        ("redis://host:6379/0?x=a:b@c", False),
        ("unix:///tmp/a:b@c", False),
    ],
)
def test_a_password_in_a_flag_is_rejected(url: str, is_refused: bool) -> None:
    """Every user of a machine sees the arguments of its processes."""
    if is_refused:
        with pytest.raises(SettingsError, match="EMP_REDIS_URL_FILE") as refused:
            load(StoreSettings, redis_url=url)
        assert "secret" not in refused.value.detail
    else:
        assert load(StoreSettings, redis_url=url).redis_url == url


def test_a_settings_file_that_anyone_can_write_is_rejected(folder: Path) -> None:
    """It could name another store than ours."""
    path = folder / SETTINGS_FILE
    path.write_text('namespace = "a"\n')
    path.chmod(0o666)

    with pytest.raises(SettingsError, match=r"chmod o-w emp\.toml"):
        load(StoreSettings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_settings_file_of_another_user_is_rejected(folder: Path) -> None:
    """It may have come with an archive, or lie in a folder that others write to."""
    path = folder / SETTINGS_FILE
    path.write_text('namespace = "a"\n')
    os.chown(path, 12345, -1)

    with pytest.raises(SettingsError, match="belongs to another user"):
        load(StoreSettings)


def test_each_value_has_its_own_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may give one, the environment another."""
    (folder / SETTINGS_FILE).write_text('log_level = "debug"\n')
    monkeypatch.setenv("EMP_LOG_FORMAT", "json")

    settings = load(StoreSettings)

    assert (settings.log_level, settings.log_format, settings.namespace) == ("debug", "json", "default")


@pytest.mark.parametrize(
    ("source", "place"), [("flag", "log_level"), ("environment", "EMP_LOG_LEVEL"), ("file", "emp.toml, log_level")]
)
def test_a_wrong_value_is_told_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, place: str
) -> None:
    """That of the source which counts; the later ones may be wrong as well."""
    (folder / SETTINGS_FILE).write_text('log_level = "loud"\n')
    if source != "file":
        monkeypatch.setenv("EMP_LOG_LEVEL", "loud")

    with pytest.raises(SettingsError) as raised:
        load(StoreSettings, **({"log_level": "loud"} if source == "flag" else {}))

    assert str(raised.value) == f"{place}: write debug, info, warning or error"


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("grace", "soon", "write a duration like 30s or 500ms"),
        ("child_max_age", "0", "write more than 0 seconds"),
        ("max_age", "0", "write more than 0 seconds"),
        ("port", "x", "write a whole number"),
        ("port", "-1", "write at least 0"),
        ("port", "70000", "write at most 65535"),
        ("strict", "perhaps", "write true or false"),
        ("plugins_prefer", "a", "'a' is not `job type=distribution`"),
        ("name", "n" * 65, "write at most 64 characters"),
        ("namespace", "a b", "write 1 to 32 of a-z, 0-9, - and _, a letter or digit first"),
    ],
)
def test_a_wrong_value_is_answered_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    """In words for whoever writes the setting, not for who knows the library that reads it."""
    monkeypatch.setenv(f"EMP_{setting.upper()}", value)
    model = next(each for each in MODELS if setting in each.model_fields)

    with pytest.raises(SettingsError) as raised:
        load(model)

    assert str(raised.value) == f"EMP_{setting.upper()}: {remedy}"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('redis_ulr = "redis://x"', "emp.toml: there is no setting 'redis_ulr'; is redis_url meant?"),
        ("zzz = 1", "emp.toml: there is no setting 'zzz'"),
        (
            "[worker]\ngrace = 1",
            "emp.toml has no section [worker]: settings stand at the top of the file, in no section",
        ),
    ],
)
def test_what_no_process_asks_for_in_the_file_is_refused(folder: Path, line: str, told: str) -> None:
    """A misspelt setting must not be passed over."""
    (folder / SETTINGS_FILE).write_text(f"{line}\n")

    with pytest.raises(SettingsError) as raised:
        load(StoreSettings)

    assert str(raised.value) == told


def test_the_file_may_hold_the_settings_of_other_processes(folder: Path) -> None:
    """One emp.toml serves all."""
    (folder / SETTINGS_FILE).write_text('port = 1\ngrace = "45s"\nurl = "http://x"\n')

    assert load(ServerSettings).port == 1
    assert load(WorkerSettings).grace == timedelta(seconds=45)


def test_the_list_of_names_is_that_of_the_models() -> None:
    """A setting that is missing there would be refused in emp.toml."""
    names = {name for model in (*MODELS, DevSettings, ClientSettings) for name in model.model_fields}

    assert names == SETTING_NAMES


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant() -> None:
    """It may belong to other software, so it is not refused; that of a test is passed over."""
    told = ignored_variables(["EMP_NAMSPACE", "EMP_PORT", "EMP_TEST_REQUIRE_REDIS", "EMP_XYZZY", "PATH"])

    assert told == [
        "EMP_NAMSPACE is no setting of EMP and is ignored; is EMP_NAMESPACE meant?",
        "EMP_XYZZY is no setting of EMP and is ignored",
    ]


def test_the_variables_of_installed_plugins_are_theirs() -> None:
    """A plugin's variables begin with its name; nobody asks which there are without need."""
    asked = []

    def plugins() -> list[str]:
        asked.append(1)
        return ["http", "my-tools"]

    told = ignored_variables(["EMP_PORT", "EMP_HTTP_TARGETS", "EMP_MY_TOOLS_X", "EMP_HTTPX"], plugins)

    assert [line.split()[0] for line in told] == ["EMP_HTTPX"]
    assert asked == [1]
    assert ignored_variables(["EMP_PORT"], plugins) == []
    assert asked == [1]


def test_a_file_that_is_no_text_is_told_by_its_name(folder: Path) -> None:
    """With the byte."""
    (folder / SETTINGS_FILE).write_bytes(b'name = "\xff"\n')

    with pytest.raises(SettingsError, match=r"emp\.toml is not UTF-8 \(byte 8\)"):
        load(StoreSettings)


def test_all_wrong_values_are_told_at_once() -> None:
    """One round of corrections is enough."""
    with pytest.raises(SettingsError, match=r"(?s)namespace.*log_format"):
        load(StoreSettings, namespace="Not This", log_format="xml")


@pytest.mark.parametrize("namespace", ["", "-a", "A", "a:b", "a}", "{a", "a b", "a\n", "a" * 33])
def test_a_namespace_stands_in_keys(namespace: str) -> None:
    """Only what cannot be mistaken there is taken."""
    with pytest.raises(SettingsError, match="namespace"):
        load(StoreSettings, namespace=namespace)


def test_a_file_that_is_no_toml_is_told_by_its_name(folder: Path) -> None:
    """With the place in it."""
    (folder / SETTINGS_FILE).write_text("namespace = \n")

    with pytest.raises(SettingsError, match=r"emp\.toml.*line 1"):
        load(StoreSettings)


def test_no_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong value may be the store's URL."""
    monkeypatch.setenv("EMP_REDIS_URL", "redis://:sesame@host/0")

    with pytest.raises(SettingsError) as raised:
        load(StoreSettings, namespace="Not This")

    assert "sesame" not in str(raised.value)


def test_settings_cannot_be_changed() -> None:
    """One frozen model per process."""
    with pytest.raises(ValidationError, match="frozen"):
        load(StoreSettings).namespace = "other"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_is_described(model: type[StoreSettings]) -> None:
    """The reference page is made from it."""
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_process_starts_without_any_setting(model: type[StoreSettings]) -> None:
    """Defaults are there for all."""
    assert load(model).redis_url == "redis://127.0.0.1:6379/0"


class Patience(StoreSettings):
    """Settings with a time span."""

    pause: Seconds = Field(default=timedelta(seconds=1), description="a pause")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("1.5", 1.5), ("500ms", 0.5), ("5m", 300), ("PT30S", 30), ("PT1M", 60)]
)
def test_a_time_span_is_a_number_of_seconds_or_an_iso_duration(
    text: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a person writes it into the environment."""
    monkeypatch.setenv("EMP_PAUSE", text)

    assert load(Patience).pause == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "", "nan", "inf", "1e400"])
def test_what_is_no_time_span_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the setting's name."""
    monkeypatch.setenv("EMP_PAUSE", text)

    with pytest.raises(SettingsError, match="PAUSE"):
        load(Patience)
