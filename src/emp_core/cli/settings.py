"""The settings of the client commands: where the server is, and the key to show it."""

from __future__ import annotations

from pydantic import Field, SecretStr

from emp_core.settings import EmpSettings


class ClientSettings(EmpSettings):
    """What a client command needs."""

    url: str = Field(default="http://127.0.0.1:8321", description="the server that client commands talk to")
    api_key: SecretStr | None = Field(
        default=None, description="the API key that client commands send; from the environment, never an argument"
    )
