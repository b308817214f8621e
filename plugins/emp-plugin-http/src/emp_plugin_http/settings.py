"""What the operator of a worker allows its HTTP jobs, by `EMP_HTTP_*` variables."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from emp_worker import JobError

PREFIX: Final = "EMP_HTTP_"
MIB: Final = 1024 * 1024

Network = IPv4Network | IPv6Network

_TARGET: Final = re.compile(
    r"\*|(?:(?P<scheme>https?)://)?(?P<host>(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:]+\])(?::(?P<port>[0-9]{1,5}|\*))?"
)


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part for part in (each.strip() for each in value.split(",")) if part)
    return value


def _targets(value: Any) -> Any:
    for target in (listed := _listed(value)):
        if _TARGET.fullmatch(target.lower()) is None:
            raise ValueError(
                f"{target!r} is no target; write *, api.example.org, *.example.org or https://api.example.org:8443"
            )
    return tuple(target.lower() for target in listed)


def _networks(value: Any) -> Any:
    return tuple(ip_network(each) if isinstance(each, str) else each for each in _listed(value))


class HttpSettings(BaseSettings):
    """Where jobs of this worker may send requests, and how much they may take."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    targets: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_targets)] = Field(
        default=(),
        description="which hosts may be asked, separated by commas: `api.example.org` (https, port 443), "
        "`*.example.org`, `http://10.1.2.3:8080`, `*` for every public one on any port",
    )
    allow_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=(),
        description="private networks that may be connected to all the same, separated by commas: `10.1.0.0/16`",
    )
    response_limit_bytes: int = Field(
        default=8 * MIB, ge=1, le=8 * MIB, description="the most bytes of an answer that a payload may ask for"
    )
    connect_seconds: float = Field(default=10.0, gt=0, le=300, description="the longest wait for a connection")

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Tell whether a place is one of the targets; its address is looked at when it is connected to."""
        return any(_matches(target, scheme, host.lower(), port) for target in self.targets)


def _matches(target: str, scheme: str, host: str, port: int) -> bool:
    if target == "*":
        return True
    parts = _TARGET.fullmatch(target)
    if parts is None:
        return False
    wanted = parts["host"].strip("[]")
    if wanted.startswith("*."):
        if not host.endswith(wanted[1:]) or host == wanted[1:]:
            return False
    elif host != wanted:
        return False
    wanted_scheme = parts["scheme"] or "https"
    wanted_port = parts["port"] or ("443" if wanted_scheme == "https" else "80")
    return scheme == wanted_scheme and wanted_port in {"*", str(port)}


def read_settings() -> HttpSettings:
    """Read the settings.

    Raises:
        JobError: `settings`: one of them is wrong; the message says which and why.
    """
    try:
        return HttpSettings()
    except ValidationError as error:
        told = "; ".join(
            f"{PREFIX}{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise JobError(f"the worker's settings are wrong: {told}", code="settings") from None
