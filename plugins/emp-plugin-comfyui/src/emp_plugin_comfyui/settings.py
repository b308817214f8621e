"""What the operator of a worker says about its ComfyUI, by `EMP_COMFYUI_*` variables."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from emp_worker import JobError

PREFIX: Final = "EMP_COMFYUI_"
MIB: Final = 1024 * 1024


def base_url(text: str) -> str:
    """Bring the address of a server into one form, without a slash at its end.

    Raises:
        ValueError: it is not an http or https address.
    """
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
        raise ValueError("write an address like http://127.0.0.1:8188")
    if parts.query or parts.fragment:
        raise ValueError("write the address alone, without ? or #")
    login, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, login + at + host.lower(), parts.path.rstrip("/"), "", ""))


def place(url: str) -> str:
    """Give an address as it may be shown: without name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part for part in (each.strip() for each in value.split(",")) if part)
    return value


Url = Annotated[str, AfterValidator(base_url)]


class ComfySettings(BaseSettings):
    """Where ComfyUI is, how long is waited for it, and how much is taken from it. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    url: Url = Field(default="http://127.0.0.1:8188", description="the ComfyUI server; name and password may be in it")
    servers: Annotated[tuple[Url, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="more servers that a payload may name, separated by commas"
    )
    request_seconds: float = Field(default=30.0, gt=0, le=3600, description="the longest wait for an answer")
    patience_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="how long a server that does not answer is tried again"
    )
    poll_seconds: float = Field(
        default=5.0, gt=0, le=3600, description="how often a run is looked up, whatever the socket says"
    )
    output_limit_bytes: int = Field(
        default=11 * MIB, ge=0, le=11 * MIB, description="the most bytes of files that a job may give back"
    )
    output_limit_files: int = Field(default=64, ge=1, le=1000, description="the most files that a job may give back")
    answer_limit_bytes: int = Field(
        default=32 * MIB, ge=MIB, le=1024 * MIB, description="the largest answer or message that is read"
    )

    def server(self, wanted: str | None) -> str:
        """Give the server for a job: the one that its payload names, if the operator lists that.

        Raises:
            JobError: `server_not_allowed`.
        """
        if wanted is None:
            return self.url
        for listed in (self.url, *self.servers):
            if wanted in {listed, place(listed)}:
                return listed
        told = f"{place(wanted)} is not a server that this worker may use; its operator lists them in {PREFIX}SERVERS"
        raise JobError(told, retryable=False, code="server_not_allowed", errors={"/server": "is not listed"})


def read_settings() -> ComfySettings:
    """Read the settings.

    Raises:
        JobError: `settings`: one of them is wrong; the message says which and why.
    """
    try:
        return ComfySettings()
    except ValidationError as error:
        told = "; ".join(
            f"{PREFIX}{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise JobError(f"the worker's settings are wrong: {told}", code="settings") from None
