"""Settings: where a value comes from, and what a wrong one is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from emp_core.errors import SettingsError
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


def test_each_value_has_its_own_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may give one, the environment another."""
    (folder / SETTINGS_FILE).write_text('log_level = "debug"\n')
    monkeypatch.setenv("EMP_LOG_FORMAT", "json")

    settings = load(StoreSettings)

    assert (settings.log_level, settings.log_format, settings.namespace) == ("debug", "json", "default")


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_wrong_value_is_told_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """From whichever source it came."""
    if source == "environment":
        monkeypatch.setenv("EMP_LOG_LEVEL", "loud")
    elif source == "file":
        (folder / SETTINGS_FILE).write_text('log_level = "loud"\n')

    with pytest.raises(SettingsError, match="log_level"):
        load(StoreSettings, **({"log_level": "loud"} if source == "flag" else {}))


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


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("1.5", 1.5), ("PT30S", 30), ("PT1M", 60)])
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

    with pytest.raises(SettingsError, match="pause"):
        load(Patience)
