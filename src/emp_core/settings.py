"""The settings that every process of EMP needs: a flag, then an `EMP_*` variable, then emp.toml, then the default."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Set
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from emp_core.durations import parse_duration
from emp_core.errors import SettingsError
from emp_core.setting_names import PREFIX, SETTING_NAMES, nearest
from emp_core.setting_remedies import remedy
from emp_core.tracing import must_be_installed

SETTINGS_FILE = Path("emp.toml")


def _file_settings() -> dict[str, Any]:
    """Read emp.toml, which may hold the settings of all processes; there may be none.

    Raises:
        SettingsError: it cannot be read, or says something that no process asks for.
    """
    if not SETTINGS_FILE.exists():
        return {}
    _refuse_foreign(SETTINGS_FILE)
    try:
        content = tomllib.loads(SETTINGS_FILE.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE} is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE}: {error}") from error
    strange = [_strange(key, value) for key, value in content.items() if key not in SETTING_NAMES]
    if strange:
        raise SettingsError("; ".join(strange))
    return content


def _refuse_foreign(path: Path) -> None:
    """Reject a file that another user may have written: it could name another store or server than ours.

    Raises:
        SettingsError: it belongs to another user, who is not root, or anyone can write to it.
    """
    found = path.stat()
    if found.st_uid not in {os.geteuid(), 0}:
        raise SettingsError(f"{path} belongs to another user. Run EMP in another folder, or `chown` the file")
    if found.st_mode & 0o002:
        raise SettingsError(f"Every user of this machine can write to {path}. Run `chmod o-w {path}`")


def _strange(key: str, value: object) -> str:
    if isinstance(value, dict):
        return f"{SETTINGS_FILE} has no section [{key}]: settings stand at the top of the file, in no section"
    near = nearest(key)
    meant = f"; is {near} meant?" if near is not None else ""
    return f"{SETTINGS_FILE}: there is no setting {key!r}{meant}"


class EmpSettings(BaseSettings):
    """Where every process of EMP finds its settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: what the command was given, then the environment, then emp.toml."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _file_settings())


_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def _namespace(value: str) -> str:
    """Refuse what could be mistaken inside a key."""
    if _NAMESPACE.fullmatch(value) is None:
        raise ValueError("write 1 to 32 of a-z, 0-9, - and _, a letter or digit first")
    return value


class StoreSettings(EmpSettings):
    """Where the store is, and which part of it is ours."""

    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", description="the store: redis://, rediss://, redis+sentinel:// or unix://"
    )
    redis_url_file: Path | None = Field(
        default=None,
        description="a file that holds `redis_url`, so that no process list or environment shows its password; "
        "`redis_url` wins where both are given",
    )
    namespace: Annotated[str, AfterValidator(_namespace)] = Field(
        default="default", description="keeps several EMPs in one store apart"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least level that is logged"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_url(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read the URL from its file."""
        path = values.get("redis_url_file")
        if not path or values.get("redis_url"):
            return values
        try:
            return {**values, "redis_url": Path(path).read_text("utf-8").strip()}
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"redis_url_file {str(path)!r} cannot be read: {why}") from error


def _seconds(value: Any) -> Any:
    """Read a text like 30, 1.5, 500ms or 5m; pydantic itself reads only ISO 8601 durations there."""
    seconds = parse_duration(value) if isinstance(value, str) else None
    return value if seconds is None else seconds


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
"""A time span in a setting: seconds, 500ms, 30s, 5m, 2h, 1d, or an ISO 8601 duration like PT30S."""


Tracing = Annotated[
    bool,
    AfterValidator(must_be_installed),
    Field(description="make OpenTelemetry traces of jobs (extra `otel`); the `OTEL_*` variables say where they go"),
]
"""The setting of each process that makes spans."""


def comma_separated(value: Any) -> Any:
    """Read names that are separated by commas; an empty text is an empty list."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(comma_separated)]
"""A list of names in a setting, separated by commas."""

S = TypeVar("S", bound=EmpSettings)


def load(model: type[S], **flags: Any) -> S:
    """Read a process's settings; a flag that is None was not given.

    Raises:
        SettingsError: a value is wrong, or emp.toml cannot be read; the message names each with its place.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if has_password(given.get("redis_url", "")):
        raise SettingsError(
            "--redis-url holds a password, and every user of this machine can see the arguments of a process. Set "
            "EMP_REDIS_URL, or write the URL to a file and name that in EMP_REDIS_URL_FILE"
        )
    try:
        return model(**given)
    except ValidationError as error:
        variables = {name.upper() for name in os.environ}
        lines = [f"{_place(fault, given, variables)}: {remedy(fault)}" for fault in error.errors()]
        raise SettingsError("; ".join(lines)) from error


def is_from_file(name: str) -> bool:
    """Return whether emp.toml says what a setting is, and no variable of the environment does.

    Raises:
        SettingsError: emp.toml cannot be read.
    """
    variable = PREFIX + name.upper()
    return name in _file_settings() and all(each.upper() != variable for each in os.environ)


def has_password(url: str) -> bool:
    """Return whether a URL of a store holds a password."""
    _, _, rest = url.partition("://")
    userinfo, at, _ = rest.partition("/")[0].rpartition("@")
    return bool(at) and bool(userinfo.partition(":")[2])


def _place(fault: ErrorDetails, flags: Mapping[str, Any], variables: Set[str]) -> str:
    """Say where a wrong value stands: in the first source that says something counts."""
    name, *inside = map(str, fault["loc"])
    if name in flags:
        return ".".join([name, *inside])
    if (variable := PREFIX + name.upper()) in variables:
        return variable
    return f"{SETTINGS_FILE}, {'.'.join([name, *inside])}"
