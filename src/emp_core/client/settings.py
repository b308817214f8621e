"""Where clients find the server and the key to show it where nobody says: EMP_URL, EMP_API_KEY, `emp login`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from emp_core.client.logins import key_for
from emp_core.errors import SettingsError
from emp_core.settings import EmpSettings, is_from_file, load


class ClientSettings(EmpSettings):
    """What a client command needs."""

    url: str = Field(default="http://127.0.0.1:8321", description="the server that client commands talk to")
    api_key: SecretStr | None = Field(
        default=None,
        description="the API key that clients send, else that of `emp login`; from the environment, never an argument",
    )


def server_and_key(url: str | None = None) -> tuple[str, str | None]:
    """Return the server's URL and the key to send; None if there is no key.

    A key from the environment goes only to a server that the caller, EMP_URL or `emp login` names, or to the default:
    an emp.toml in the working folder may have come with a download.

    Raises:
        SettingsError: a setting is wrong, the file of `emp login` cannot be read, or the key is from the environment
            and the server's URL from emp.toml.
    """
    settings = load(ClientSettings, url=url)
    kept = key_for(settings.url)
    key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
    if not key:
        return settings.url, kept
    if url is None and kept is None and is_from_file("url") and not is_from_file("api_key"):
        raise SettingsError(
            f"emp.toml names the server {settings.url}, and EMP_API_KEY is from the environment. If that server may "
            "have the key, name it with --url or EMP_URL, or run `emp login` once"
        )
    return settings.url, key
