"""Read a JSON Schema: its references, its types, the values that it lists, and whether two schemas share any value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
ANNOTATIONS: Final = frozenset(
    {
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "default",
        "deprecated",
        "description",
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords that refuse nothing."""
_REFERENCES: Final = 32
"""More references in a row than this are a circle."""


class Lost(Exception):
    """A schema cannot be read here: a reference leads out of the document, or in a circle."""


def resolved(root: Schema, schema: Any) -> Schema:
    """Give a schema without its outer reference and without annotations; `true` is `{}`, `false` takes nothing.

    Raises:
        Lost: its reference leads nowhere.
    """
    found: dict[str, Any] = _plain(schema)
    for _ in range(_REFERENCES):
        reference = found.pop("$ref", None)
        parts = found.get("allOf")
        if isinstance(parts, list) and len(parts) == 1 and reference is None:
            # A list of one is how a reference was written that has other words beside it.
            del found["allOf"]
            found = _merged(_plain(parts[0]), found)
        elif reference is None:
            return found
        else:
            found = _merged(_plain(_referred(root, str(reference))), found)
    raise Lost("its references lead in a circle")


def _plain(schema: Any) -> dict[str, Any]:
    if schema is False:
        return {"not": {}}
    if schema is True or not isinstance(schema, Mapping):
        return {}
    return {word: value for word, value in schema.items() if word not in ANNOTATIONS}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Join two schemas that both hold; where both say the same word, as parts of an `allOf`."""
    if one.keys() & other.keys():
        return {"allOf": [one, other]}
    return {**one, **other}


def _referred(root: Schema, reference: str) -> Any:
    place: Any = root
    if reference != "#" and not reference.startswith("#/"):
        raise Lost(f"{reference} is not in this document")
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, Mapping) or name not in place:
            raise Lost(f"{reference} is not in this document")
        place = place[name]
    return place


def is_nothing(schema: Schema) -> bool:
    """Tell whether a schema is `false`: no value is taken."""
    return schema.get("not") in ({}, True)


def listed(schema: Schema) -> list[Any] | None:
    """Give the values that `enum` or `const` lists; None where any may come."""
    if "const" in schema:
        return [schema["const"]]
    words = schema.get("enum")
    return list(words) if isinstance(words, list) else None


def types_of(schema: Schema) -> frozenset[str]:
    """Give the types of the values that a schema takes; `number` includes `integer`."""
    words = listed(schema)
    if words is not None:
        return frozenset(map(type_of, words))
    said = schema.get("type")
    if said is None:
        return frozenset(TYPES)
    found = frozenset(said if isinstance(said, list) else [said])
    return found | {"integer"} if "number" in found else found


def type_of(value: Any) -> str:
    """Name the type of a JSON value; 1.0 is an integer."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal; `true` is not 1."""
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    """Write a JSON value in the one form that equal values share."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def are_apart(one_root: Schema, one: Any, other_root: Schema, other: Any, depth: int = 0) -> bool:
    """Tell whether no value fits both schemas, as far as types, listed values and required fields show."""
    try:
        left, right = resolved(one_root, one), resolved(other_root, other)
    except Lost:
        return False
    if not types_of(left) & types_of(right):
        return True
    left_words, right_words = listed(left), listed(right)
    if left_words is not None and right_words is not None:
        return not {canonical(word) for word in left_words} & {canonical(word) for word in right_words}
    if types_of(left) & types_of(right) != {"object"} or depth > 3:
        return False
    needed = set(left.get("required", ())) & set(right.get("required", ()))
    fields, others = left.get("properties", {}), right.get("properties", {})
    return any(
        are_apart(one_root, fields[name], other_root, others[name], depth + 1)
        for name in needed & fields.keys() & others.keys()
    )
