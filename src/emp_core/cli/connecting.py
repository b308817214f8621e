"""The line from a client command to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from emp_core.cli.output import or_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from emp_core.client import EmpClient

F = TypeVar("F", bound="Callable[..., Any]")

PATIENCE: Final = 3.0
"""Seconds: whoever typed the command wants to hear soon that no server runs."""
PATIENCE_WHILE_WAITING: Final = 30.0
"""Seconds: a server that restarts under somebody who waits for a job is no reason to give up."""


def url_option(command: F) -> F:
    """Give a command its --url."""
    text = "The server; else EMP_URL, else http://127.0.0.1:8321."
    return click.option("--url", callback=or_before, help=text)(command)


def connect(url: str | None, patience: float = PATIENCE) -> EmpClient:
    """Make the client that a command uses.

    Raises:
        SettingsError: the URL, or another setting, is wrong.
    """
    from emp_core.client import EmpClient

    return EmpClient.configured(url, patience=patience)
