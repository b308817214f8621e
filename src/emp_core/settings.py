"""The settings that every process of EMP needs: a flag, then an `EMP_*` variable, then emp.toml, then the default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from emp_core.errors import SettingsError

SETTINGS_FILE = Path("emp.toml")


class EmpSettings(BaseSettings):
    """Where every process of EMP finds its settings."""

    model_config = SettingsConfigDict(
        env_prefix="EMP_", toml_file=SETTINGS_FILE, frozen=True, extra="ignore", populate_by_name=True
    )

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class StoreSettings(EmpSettings):
    """Where the store is, and which part of it is ours."""

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", description="the store: redis://, rediss:// or unix://")
    namespace: str = Field(
        default="default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="keeps several EMPs in one store apart",
    )
    log_format: str = Field(
        default="auto", pattern="^(auto|json|console)$", description="json, console, or auto: console on a terminal"
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="the least level that is logged"
    )


def _number_of_seconds(value: Any) -> Any:
    """Read a plain number in a text as seconds; pydantic itself reads only ISO 8601 durations there."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Seconds = Annotated[timedelta, BeforeValidator(_number_of_seconds)]
"""A time span in a setting: a number of seconds, or an ISO 8601 duration like PT30S."""


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
        SettingsError: a value is wrong, or emp.toml cannot be read; the message names each.
    """
    try:
        return model(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise SettingsError("; ".join(lines)) from error
    except TOMLDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE}: {error}") from error
