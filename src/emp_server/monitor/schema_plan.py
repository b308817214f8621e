"""Plan the form of a job type from its payload's JSON Schema: which control each field gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from emp_server.monitor.schema_words import alternatives, is_nullable, resolved

Schema = Mapping[str, Any]

DEPTH: Final = 4
SHORT: Final = 200
"""Strings that may be longer get a field with lines."""
BASE64: Final = frozenset({"base64", "base64url", "byte", "binary"})


class Kind(StrEnum):
    """What control a field gets; what has no control of its own is written as JSON."""

    LINE = "line"
    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    BYTES = "bytes"
    OBJECT = "object"
    LIST = "list"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Node:
    """A field of the form. `choices` holds JSON texts; `bounds` what an HTML control takes; `item` is of a list."""

    kind: Kind
    about: str = ""
    is_required: bool = True
    is_nullable: bool = False
    default: Any = msgspec.UNSET
    choices: Sequence[str] = ()
    bounds: Mapping[str, str] = field(default_factory=dict)
    is_urlsafe: bool = False
    members: Mapping[str, Node] = field(default_factory=dict)
    item: Node | None = None

    @property
    def has_default(self) -> bool:
        """Whether the type says what an optional field is when it is not given; null says nothing to a reader."""
        return not self.is_required and self.default is not msgspec.UNSET and self.default is not None

    @property
    def default_text(self) -> str:
        """The default as JSON."""
        return written(self.default)


def plan(root: Schema) -> Node | None:
    """Plan the form; None where the payload is not an object with known fields: it is written as JSON then."""
    node = _node(root, root, is_required=True, depth=0, in_list=False)
    return node if node.kind is Kind.OBJECT else None


def _node(root: Schema, given: Any, *, is_required: bool, depth: int, in_list: bool) -> Node:
    schema = resolved(root, given)
    forms = alternatives(root, schema)
    about = str(schema.get("description") or (forms[0].get("description", "") if len(forms) == 1 else ""))
    kind, more = _control(root, forms, depth=depth, in_list=in_list)
    return Node(
        kind,
        about=about,
        is_required=is_required,
        is_nullable=is_nullable(root, schema),
        default=schema.get("default", msgspec.UNSET),
        **more,
    )


def _control(root: Schema, forms: Sequence[Schema], *, depth: int, in_list: bool) -> tuple[Kind, dict[str, Any]]:
    choices = [value for form in forms for value in _choices(form)]
    if choices and all(_choices(form) for form in forms):
        return Kind.CHOICE, {"choices": [written(value) for value in choices]}
    types = {form.get("type") for form in forms if isinstance(form.get("type"), str)}
    if len(types) == len(forms) and types in ({"integer"}, {"number"}, {"integer", "number"}):
        return Kind.NUMBER, {"bounds": _number_bounds(forms)}
    if len(forms) != 1 or depth > DEPTH:
        return Kind.JSON, {}
    [form] = forms
    match form.get("type"):
        case "boolean":
            return Kind.CHOICE, {"choices": ["true", "false"]}
        case "string":
            return _text(form)
        case "object" if _members(form):
            required = form.get("required") or ()
            return Kind.OBJECT, {
                "members": {
                    str(name): _node(root, member, is_required=name in required, depth=depth + 1, in_list=in_list)
                    for name, member in _members(form).items()
                }
            }
        # A list in an item of a list would have to grow in what is not there yet.
        case "array" if isinstance(form.get("items"), Mapping) and "prefixItems" not in form and not in_list:
            return Kind.LIST, {"item": _node(root, form["items"], is_required=True, depth=depth + 1, in_list=True)}
        case _:
            return Kind.JSON, {}


def _choices(form: Schema) -> Sequence[Any]:
    if "const" in form:
        return [form["const"]]
    values = form.get("enum")
    return values if isinstance(values, list) else ()


def _text(form: Schema) -> tuple[Kind, dict[str, Any]]:
    encoding = form.get("contentEncoding") or form.get("format")
    if encoding in BASE64:
        return Kind.BYTES, {"is_urlsafe": encoding == "base64url"}
    longest = form.get("maxLength")
    if "format" in form or (isinstance(longest, int) and longest <= SHORT):
        return Kind.LINE, {}
    return Kind.TEXT, {}


def _number_bounds(forms: Sequence[Schema]) -> dict[str, str]:
    bounds = {"step": "1" if all(form.get("type") == "integer" for form in forms) else "any"}
    if len(forms) == 1:
        for word, attribute in (("minimum", "min"), ("maximum", "max")):
            if isinstance(forms[0].get(word), int | float):
                bounds[attribute] = written(forms[0][word])
    return bounds


def _members(form: Schema) -> Mapping[str, Any]:
    members = form.get("properties")
    return members if isinstance(members, Mapping) else {}


def written(value: Any) -> str:
    """Write a value as JSON."""
    return msgspec.json.encode(value).decode()
