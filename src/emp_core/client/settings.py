"""Where clients find the server and the key to show it where nobody says: EMP_URL, EMP_API_KEY, `emp login`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from emp_core.client.logins import key_for
from emp_core.settings import EmpSettings, load


class ClientSettings(EmpSettings):
    """What a client command needs."""

    url: str = Field(default="http://127.0.0.1:8321", description="the server that client commands talk to")
    api_key: SecretStr | None = Field(
        default=None,
        description="the API key that clients send, else that of `emp login`; from the environment, never an argument",
    )


def server_and_key(url: str | None = None) -> tuple[str, str | None]:
    """Give the server's URL and the key to show it; None where there is none.

    Raises:
        SettingsError: a setting is wrong, or the file of `emp login` cannot be read.
    """
    settings = load(ClientSettings, url=url)
    if settings.api_key is not None and settings.api_key.get_secret_value():
        return settings.url, settings.api_key.get_secret_value()
    return settings.url, key_for(settings.url)
