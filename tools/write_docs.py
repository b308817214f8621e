"""Write the parts of the documentation that follow from the code: between two marks, and only there.

<!-- made: settings.worker -->
...
<!-- end -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin

import annotated_types
import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from emp_core.cli.dev import dev
from emp_core.cli.dev_settings import DevSettings
from emp_core.cli.submit import submit
from emp_core.client.settings import ClientSettings
from emp_core.jobs import TRANSITIONS, JobState, Transition
from emp_core.messages import JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage
from emp_core.settings import EmpSettings, StoreSettings
from emp_core.store.keys import OWNERS
from emp_core.store.refusals import REFUSALS
from emp_server.cli import server
from emp_server.settings import ServerSettings
from emp_worker.cli import worker
from emp_worker.settings import PluginSettings, WorkerSettings

ROOT: Final = Path(__file__).resolve().parent.parent
BLOCK: Final = re.compile(r"(?<=<!-- made: )(\S+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def state_chart() -> str:
    """Draw TRANSITIONS as a Mermaid state diagram; verbs that make the same move share an arrow."""
    arrows: dict[tuple[JobState | None, JobState | None], list[str]] = {}
    for move in TRANSITIONS:
        arrows.setdefault((move.source, move.target), []).append(move.verb)
    lines = [
        f"    {source or '[*]'} --> {target or '[*]'}: {', '.join(verbs)}" for (source, target), verbs in arrows.items()
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```\n"])


def moves() -> str:
    """List TRANSITIONS, a line per verb and target."""
    found: dict[tuple[str, JobState | None], list[Transition]] = {}
    for move in TRANSITIONS:
        found.setdefault((move.verb, move.target), []).append(move)
    rows = (
        (f"`{verb}`", ", ".join(move.source or "nothing" for move in each), target or "nothing")
        for (verb, target), each in found.items()
    )
    return table(("verb", "from", "to"), rows)


def store_keys() -> str:
    """List the keys of the store with what each holds and who deletes it."""
    rows = ((f"`{key}`", *_halves(text)) for key, text in OWNERS.items())
    return table(("key", "holds", "deleted by"), rows)


def _halves(text: str) -> tuple[str, str]:
    what, semicolon, owner = text.partition("; ")
    if semicolon:
        return what, owner
    what, _, owner = text.rpartition(", ")
    return what, owner


def store_errors() -> str:
    """List how the store may fail us, and what EMP makes of it."""
    rows = (
        (
            f"`{row.says}`" if row.says.isupper() else row.says,
            row.when,
            str(row.error.status),
            "unknown" if row.may_have_run else "not done",
            "ends with exit code 2" if row.stops_start else "goes on",
        )
        for row in REFUSALS
    )
    return table(("the store says", "because", "answer", "outcome", "a process that starts"), rows)


def message_fields(message: type[BaseModel]) -> str:
    """List the fields of a message."""
    fields = message.model_fields.items()
    return table(
        ("field", "type", "what"), ((f"`{name}`", _json_type(field), field.description or "") for name, field in fields)
    )


def _json_type(field: FieldInfo) -> str:
    kinds: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    wanted: tuple[Any, ...] = get_args(field.annotation) or (field.annotation,)
    return " or ".join(kinds[each] for each in wanted if each in kinds) or f'always `"{wanted[0]}"`'


def settings(model: type[EmpSettings], without: type[EmpSettings], *commands: click.Command) -> str:
    """List a model's own settings: those that the model `without` does not have."""
    flags = {
        option.name: option.opts[0]
        for command in commands
        for option in command.params
        if option.opts[0].startswith("-")
    }
    rows = (
        (
            f"`{name}`",
            f"`EMP_{name.upper()}`",
            f"`{flags[name]}`" if name in flags else "",
            *_form(field),
            field.description or "",
        )
        for name, field in model.model_fields.items()
        if name not in without.model_fields
    )
    return table(("setting", "variable", "flag", "takes", "default", "what"), rows)


def _form(field: FieldInfo) -> tuple[str, str]:
    """Say what a setting takes, and its default."""
    kinds = [each for each in _kinds(field.annotation) if each is not type(None)]
    bounds = [
        f"{'from' if isinstance(each, annotated_types.Ge) else 'above'} {_shown(_bound(each))}"
        for each in field.metadata
        if isinstance(each, annotated_types.Ge | annotated_types.Gt)
    ]
    bounds += [f"to {_shown(each.le)}" for each in field.metadata if isinstance(each, annotated_types.Le)]
    words = ", ".join(get_args(field.annotation)) if kinds[0] is Literal else ""
    form = ", ".join([words or _KINDS.get(kinds[0], "text"), *([" ".join(bounds)] if bounds else [])])
    if kinds[0] in {tuple, dict} and any(each is NoDecode for each in field.metadata):
        form += ", separated by commas"
    elif kinds[0] is tuple:
        form += " as a JSON array"
    return form, _shown(field.get_default(call_default_factory=True))


_KINDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    dict: "pairs",
    float: "a number",
    int: "a whole number",
    Path: "a path",
    timedelta: "a duration",
    tuple: "names",
}


def _kinds(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, UnionType):
        for each in get_args(annotation):
            yield from _kinds(each)
    else:
        yield get_origin(annotation) or annotation


def _bound(limit: annotated_types.Ge | annotated_types.Gt) -> Any:
    return limit.ge if isinstance(limit, annotated_types.Ge) else limit.gt


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case () | "" | {}:
            return "none"
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():g}s"
        case tuple():
            return f"`{','.join(value)}`"
        case int():
            return str(value)
        case _:
            return f"`{value}`"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "chart": state_chart,
    "moves": moves,
    "keys": store_keys,
    "store_errors": store_errors,
    "fields.job_available": lambda: message_fields(JobAvailableMessage),
    "fields.job_update": lambda: message_fields(JobUpdateMessage),
    "fields.worker_status": lambda: message_fields(WorkerStatusMessage),
    "settings.store": lambda: settings(StoreSettings, EmpSettings, server, worker),
    "settings.server": lambda: settings(ServerSettings, StoreSettings, server),
    "settings.plugins": lambda: settings(PluginSettings, StoreSettings),
    "settings.worker": lambda: settings(WorkerSettings, PluginSettings, worker),
    "settings.dev": lambda: settings(DevSettings, StoreSettings, dev),
    "settings.client": lambda: settings(ClientSettings, EmpSettings, submit),
}


def written(text: str) -> str:
    """Give a page with its made parts as they must be."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}\n{PARTS[found[1]]()}\n", text)


def stale(root: Path) -> list[Path]:
    """Find the pages whose made parts are not as they must be."""
    return [page for page in _pages(root) if written(page.read_text("utf-8")) != page.read_text("utf-8")]


def used(root: Path) -> set[str]:
    """Give the names of the parts that some page holds."""
    return {found[1] for page in _pages(root) for found in BLOCK.finditer(page.read_text("utf-8"))}


def _pages(root: Path) -> list[Path]:
    return sorted([root / "ARCHITECTURE.md", *(root / "docs").rglob("*.md")])


def main() -> None:
    """Write them; with --check say which pages are stale, and exit 1 if one is."""
    pages = stale(ROOT)
    for page in pages:
        print(page.relative_to(ROOT))
        if "--check" not in sys.argv:
            page.write_text(written(page.read_text("utf-8")), "utf-8")
    sys.exit(1 if pages and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
