"""Say in words what a JSON Schema (draft 2020-12) asks for, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from emp_server.monitor.legible import cut

Schema = Mapping[str, Any]

DEPTH: Final = 4
FIELDS: Final = 200
_REFERENCES: Final = 32
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches {}"),
    ("format", "{}"),
    ("contentEncoding", "bytes in {}"),
    ("contentMediaType", "{}"),
)


@dataclass(frozen=True, slots=True)
class FieldWords:
    """One field: its dotted name, what kind of value it takes, within which bounds, and what for."""

    name: str
    kind: str
    bounds: str
    is_required: bool
    default: str | None
    about: str


def describe(root: Schema) -> tuple[FieldWords, ...]:
    """Give the fields of an object's schema, those of nested objects after their parent; none for other schemas."""
    return tuple(field for field, _ in zip(_fields(root, root, "", 0), range(FIELDS), strict=False))


def _fields(root: Schema, schema: Schema, prefix: str, depth: int) -> Iterator[FieldWords]:
    required = schema.get("required") or ()
    properties = schema.get("properties")
    for name, given in (properties if isinstance(properties, Mapping) else {}).items():
        field = resolved(root, given)
        yield FieldWords(
            name=f"{prefix}{name}",
            kind=_kind(root, field),
            bounds=", ".join(_bounds(root, field)),
            is_required=name in required,
            default=None if "default" not in field else cut(_written(field["default"]), 100),
            about=str(field.get("description", "")),
        )
        if depth < DEPTH:
            for inner in alternatives(root, field):
                yield from _fields(root, inner, f"{prefix}{name}.", depth + 1)
                items = resolved(root, inner.get("items"))
                yield from _fields(root, items, f"{prefix}{name}[].", depth + 1)


def resolved(root: Schema, schema: Any) -> Schema:
    """Give a schema with its reference followed; what stands beside the reference is kept."""
    for _ in range(_REFERENCES):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target = _referred(root, reference)
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**target, **beside}
    return {}


def _referred(root: Schema, reference: str) -> Schema:
    """Follow a reference within the document; any other leads nowhere."""
    if reference != "#" and not reference.startswith("#/"):
        return {}
    place: Any = root
    for part in reference.split("/")[1:]:
        place = place.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
    return place if isinstance(place, Mapping) else {}


def alternatives(root: Schema, schema: Schema) -> Sequence[Schema]:
    """Give the forms that a value may have; null is none."""
    parts = [resolved(root, part) for word in ("anyOf", "oneOf") for part in _list(schema.get(word))]
    if len(_list(schema.get("allOf"))) == 1:
        parts.append(resolved(root, schema["allOf"][0]))
    forms = [part for part in parts if part.get("type") != "null"]
    return forms or [schema]


def is_nullable(root: Schema, schema: Schema) -> bool:
    """Whether null is one of the values that a schema takes."""
    types = schema.get("type")
    parts = (resolved(root, part) for word in ("anyOf", "oneOf") for part in _list(schema.get(word)))
    return "null" in (types if isinstance(types, list) else [types]) or any(
        part.get("type") == "null" for part in parts
    )


def _kind(root: Schema, schema: Schema) -> str:
    words = [_one_kind(root, form) for form in alternatives(root, schema)]
    kinds = " or ".join(dict.fromkeys(words))
    return f"{kinds} or null" if is_nullable(root, schema) else kinds


def _one_kind(root: Schema, schema: Schema) -> str:
    if "const" in schema:
        return cut(_written(schema["const"]), 60)
    if _list(schema.get("enum")):
        return "one of " + ", ".join(cut(_written(value), 60) for value in schema["enum"][:30])
    types = schema.get("type")
    names = [str(name) for name in (types if isinstance(types, list) else [types]) if name not in {None, "null"}]
    if names == ["array"]:
        return f"list of {_kind(root, resolved(root, schema.get('items')))}"
    return " or ".join(names) or "any JSON"


def _bounds(root: Schema, schema: Schema) -> Iterator[str]:
    for form in alternatives(root, schema):
        for word, words in _BOUNDS:
            if word in form:
                yield words.format(cut(str(form[word]), 60))


def _written(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
