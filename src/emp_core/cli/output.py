"""Write what commands have found: a table on a terminal, tab-separated lines in a pipe, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from emp_core.errors import EmpError, InvalidPayload, InvalidRequest, Unauthenticated, UnknownJobType, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_ESCAPED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of writing: with them one text can look like another."""


def json_option(command: F) -> F:
    """Give a command its --json."""
    return click.option("--json", "as_json", is_flag=True, callback=or_before, help="Print JSON.")(command)


def or_before(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Let an option stand before the command, too: without a value here, give the one that stands there."""
    before = ctx.parent
    while not value and before is not None:
        value, before = before.params.get(str(param.name)), before.parent
    return value


def escaped(text: str) -> str:
    """Make a text from job data harmless for a terminal: what would move, clear or recolour is shown by its code."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _BIDI or unicodedata.category(character) in _ESCAPED:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character


def cell(value: Any) -> str:
    """Write one value of a table: times in UTC to the second, nothing for None, JSON for what has parts."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return escaped(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def print_json(value: Any) -> None:
    """Print a document; in ASCII, so that whatever jobs hold cannot command a terminal."""
    click.echo(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under column names on a terminal, and without them, separated by tabs, in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(cell, row)))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # Text, not markup: a job may hold `[red]`, too.
        table.add_row(*(_plain(cell(value)) for value in row))
    Console().print(table)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing, a line for each field that has a value."""
    shown = {name: cell(value) for name, value in fields.items() if value not in (None, "", (), [], {})}
    if not sys.stdout.isatty():
        for name, text in shown.items():
            click.echo(f"{name}\t{text}")
        return
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {text}")


def note(text: str) -> None:
    """Say something that is not the command's result, on stderr."""
    click.echo(escaped(text), err=True)


def error_lines(error: EmpError) -> list[str]:
    """Say on stderr what went wrong, where, and what to do about it."""
    lines = [f"Error: {error.detail}"]
    match error:
        case InvalidPayload(faults=[fault]) if fault.message in error.detail:
            pass
        case InvalidPayload(faults=faults):
            lines += [f"  {fault.pointer or '(the whole payload)'}: {fault.message}" for fault in faults]
        case InvalidRequest(pointer=str(pointer)):
            lines[0] += f" (at {pointer})"
        case UnknownJobType():
            lines.append("  `emp types` lists the job types that there are.")
        case Unauthenticated():
            lines.append("  Set EMP_API_KEY, or run `emp login`; `emp keys create` makes a key.")
        case Unreachable():
            lines.append("  Start a server (`emp dev`, or `emp server`), or name another one with --url or EMP_URL.")
        case _:
            pass
    return [escaped(line) for line in lines]
