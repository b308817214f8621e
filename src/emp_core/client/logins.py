"""Keep the keys of `emp login`, one per server, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import click

from emp_core.errors import SettingsError


def logins_file() -> Path:
    """Give the place of the file: where the system keeps what a user configures."""
    return Path(click.get_app_dir("emp")) / "logins.json"


def key_for(url: str) -> str | None:
    """Give the key that `emp login` kept for a server; None if there is none.

    Raises:
        SettingsError: the file cannot be read, or others than its owner can.
    """
    return _read().get(_server(url))


def remember(url: str, key: str) -> Path:
    """Keep a key for a server, and give the file.

    Raises:
        SettingsError: the file cannot be read or written.
    """
    return _write({**_read(), _server(url): key})


def forget(url: str) -> bool:
    """Forget the key of a server; False if there is none.

    Raises:
        SettingsError: the file cannot be read or written.
    """
    logins = _read()
    if logins.pop(_server(url), None) is None:
        return False
    _write(logins)
    return True


def _server(url: str) -> str:
    """Give what names a server: a key must not be sent to another port or over another scheme."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}"


def _read() -> dict[str, str]:
    path = logins_file()
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SettingsError(f"{path} can be read by others; run `chmod 600 {path}`, and change the keys in it")
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON; delete it and run `emp login` again") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise SettingsError(f"{path} is not a file of `emp login`; delete it and run `emp login` again")
    return content


def _write(logins: dict[str, str]) -> Path:
    path = logins_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes it with mode 600, and the old file stands until the new one is whole.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".logins-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(logins, file, indent=2)
        Path(name).replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    return path
