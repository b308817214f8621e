"""Between a planned form and JSON: a value into the form's fields, the fields into a value, both into what is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from emp_core.errors import PayloadFault
from emp_server.monitor.form_body import Form, first
from emp_server.monitor.schema_plan import Kind, Node, written

PREFIX: Final = "payload"
"""A field's name is this and the JSON pointer (RFC 6901) of its value."""
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLACE: Final = "__n__"
"""Stands for an item's number in the template of a list's items."""


class NotInForm(ValueError):
    """The form has no room for this value: it has to be written as JSON."""


def step(pointer: str, name: str | int) -> str:
    """Go one step deeper."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def initial(node: Node, pointer: str = "") -> dict[str, str]:
    """Give the fields of a form that nobody has filled in yet: the defaults stand there."""
    if node.default is not UNSET:
        try:
            return filled(node, node.default, pointer)
        except NotInForm:
            return {}
    fields: dict[str, str] = {}
    for name, member in node.members.items():
        fields |= initial(member, step(pointer, name))
    return fields


def filled(node: Node, value: Any, pointer: str = "") -> dict[str, str]:
    """Give the fields that stand for a value.

    Raises:
        NotInForm: they would stand for another one.
    """
    if value is None and node.kind is not Kind.CHOICE and (node.is_required or node.default is None):
        return {}
    name = PREFIX + pointer
    match node.kind, value:
        case Kind.OBJECT, dict() if set(value) <= set(node.members):
            members = (filled(node.members[key], each, step(pointer, key)) for key, each in value.items())
            return {key: text for member in members for key, text in member.items()}
        case Kind.LIST, list() if node.item is not None:
            items = (filled(node.item, each, step(pointer, at)) for at, each in enumerate(value))
            return {key: text for item in items for key, text in item.items()}
        case ((Kind.TEXT | Kind.BYTES), str()) if "\r" not in value:
            return {name: value}
        case Kind.LINE, str() if "\r" not in value and "\n" not in value:
            return {name: value}
        case Kind.NUMBER, int() | float() if not isinstance(value, bool):
            return {name: written(value)}
        case Kind.CHOICE, _ if written(value) in node.choices or (value is None and node.is_nullable):
            return {name: written(value)}
        case Kind.JSON, _:
            return {name: written(value)}
        case _:
            raise NotInForm(pointer)


def form_of(node: Node, payload: bytes) -> Form | None:
    """Give the form that stands for a payload; None where it would stand for another one."""
    try:
        value = msgspec.json.decode(payload)
        form = as_form(filled(node, value))
    except (NotInForm, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    again, faults = read(node, form)
    return None if faults or _without_nulls(msgspec.json.decode(again)) != _without_nulls(value) else form


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nulls(each) for name, each in value.items() if each is not None}
        case list():
            return [_without_nulls(each) for each in value]
        case _:
            return value


def read(node: Node, form: Form) -> tuple[bytes, list[PayloadFault]]:
    """Give the payload that a form stands for, and what in it could not be read."""
    faults: list[PayloadFault] = []
    value = _value(node, form, "", faults)
    return msgspec.json.encode({} if value is UNSET else value), faults


def _value(node: Node, form: Form, pointer: str, faults: list[PayloadFault]) -> Any:
    """Give a field's value; UNSET where nothing was said, which leaves the field out."""
    match node.kind:
        case Kind.OBJECT:
            members = {name: _value(each, form, step(pointer, name), faults) for name, each in node.members.items()}
            value: Any = {name: each for name, each in members.items() if each is not UNSET} or UNSET
        case Kind.LIST:
            value = [each for each in _items(node, form, pointer, faults) if each is not UNSET] or UNSET
        case _:
            text = first(form, PREFIX + pointer).replace("\r\n", "\n")
            value = UNSET if not text else _read_text(node, text, pointer, faults)
            if not text and node.is_required and node.kind in {Kind.LINE, Kind.TEXT} and not node.is_nullable:
                value = ""
    if value is UNSET and node.is_required:
        return {Kind.LIST: [], Kind.OBJECT: {}}.get(node.kind, None if node.is_nullable else UNSET)
    return value


def _read_text(node: Node, text: str, pointer: str, faults: list[PayloadFault]) -> Any:
    if node.kind is Kind.BYTES:
        return "".join(text.split())
    if node.kind is Kind.NUMBER:
        # As it was written: a number of many digits stays what it is. What is none, the schema refuses.
        return Raw(text.strip().encode()) if _NUMBER.fullmatch(text.strip()) else text
    if node.kind in {Kind.CHOICE, Kind.JSON}:
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            faults.append(PayloadFault(pointer, f"is not JSON: {error}"))
            return UNSET
        return Raw(text.encode())
    return text


def _items(node: Node, form: Form, pointer: str, faults: list[PayloadFault]) -> Iterator[Any]:
    for number in _numbers(form, pointer):
        if node.item is not None:
            # An item in which nobody wrote anything was only offered.
            is_empty = not any(first(form, name) for name in form if _is_below(name, step(pointer, number)))
            yield UNSET if is_empty else _value(node.item, form, step(pointer, number), faults)


def _numbers(form: Form, pointer: str) -> list[int]:
    below = f"{PREFIX}{pointer}/"
    heads = {name[len(below) :].partition("/")[0] for name in form if name.startswith(below)}
    return sorted(int(head) for head in heads if head.isascii() and head.isdigit() and len(head) <= 6)


def _is_below(name: str, pointer: str) -> bool:
    return name == PREFIX + pointer or name.startswith(f"{PREFIX}{pointer}/")


@dataclass(frozen=True, slots=True)
class Control:
    """A field as it is drawn: its text, what is wrong with it, and the controls inside it."""

    node: Node
    name: str
    label: str
    text: str
    faults: Sequence[str]
    inner: Sequence[Control] = ()
    offered: Control | None = None
    """What a list draws for an item more."""
    next_number: int = 0


def draw(node: Node, form: Form, faults: Sequence[PayloadFault]) -> tuple[Control, list[str]]:
    """Give what is drawn, with each fault beside its field, and the faults that have no field."""
    by_pointer: dict[str, list[str]] = {}
    for fault in faults:
        by_pointer.setdefault(fault.pointer, []).append(fault.message)
    control = _draw(node, form, "", "", by_pointer)
    return control, [f"{pointer or 'the payload'} {text}" for pointer, texts in by_pointer.items() for text in texts]


def _draw(node: Node, form: Form, pointer: str, label: str, faults: dict[str, list[str]]) -> Control:
    inner: list[Control] = []
    offered, following = None, 0
    if node.kind is Kind.OBJECT:
        inner = [_draw(each, form, step(pointer, name), name, faults) for name, each in node.members.items()]
    elif node.kind is Kind.LIST and node.item is not None:
        numbers = _numbers(form, pointer) or [0]
        following = numbers[-1] + 1
        inner = [_draw(node.item, form, step(pointer, at), f"{label} {at + 1}", faults) for at in numbers]
        offered = _draw(node.item, {}, step(pointer, _PLACE), f"{label} (one more)", {})
    return Control(
        node=node,
        name=PREFIX + pointer,
        label=label,
        text=first(form, PREFIX + pointer),
        faults=faults.pop(pointer, ()),
        inner=inner,
        offered=offered,
        next_number=following,
    )


def as_form(fields: Mapping[str, str]) -> Form:
    """Give fields in the shape that a sent form has."""
    return {name: [text] for name, text in fields.items()}
