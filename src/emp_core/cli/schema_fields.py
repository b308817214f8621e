"""Give the text of one field the type that a JSON Schema (draft 2020-12) announces for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]

BASE64_FORMATS: Final = frozenset({"base64", "base64url", "byte", "binary"})
_REFERENCES: Final = 32
"""More references in a row than this are a circle."""
_DIGITS: Final = 4000
"""Python reads, and writes, hardly more."""
_INTEGER: Final = re.compile(rf"[+-]?[0-9]{{1,{_DIGITS}}}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


class WrongType(ValueError):
    """The text cannot be a value of the field; the message says what the field takes."""


def field_schemas(root: Schema, path: Sequence[str]) -> list[Schema]:
    """Give the schemas that the value at a path may have; none where the schema does not say."""
    found = list(_alternatives(root, root))
    for name in path:
        found = [deeper for schema in found for deeper in _member(root, schema, name)]
    return found


def _member(root: Schema, schema: Schema, name: str) -> Iterator[Schema]:
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        yield from _alternatives(root, properties[name])
    else:
        yield from _alternatives(root, schema.get("additionalProperties"))


def _alternatives(root: Schema, schema: Any, references: int = 0) -> Iterator[Schema]:
    """Give a schema without its references and unions: each form that a value may have, on its own."""
    if not isinstance(schema, Mapping) or references > _REFERENCES:
        return
    if isinstance(reference := schema.get("$ref"), str):
        yield from _alternatives(root, _referred(root, reference), references + 1)
    parts = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word) or ()]
    for part in parts:
        yield from _alternatives(root, part, references + 1)
    if "type" in schema or "properties" in schema or not (parts or reference):
        types = schema.get("type")
        for each in types if isinstance(types, list) else [types]:
            yield {**schema, "type": each} if each is not None else schema


def _referred(root: Schema, reference: str) -> Any:
    """Follow a reference within the document; any other leads nowhere."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    place: Any = root
    for part in reference.split("/")[1:]:
        place = place.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
    return place


def base64_form(schemas: Sequence[Schema]) -> str | None:
    """Give `base64` or `base64url` where the field takes bytes in that form, else None."""
    for schema in schemas:
        form = schema.get("contentEncoding") or schema.get("format")
        if form in BASE64_FORMATS:
            return "base64url" if form == "base64url" else "base64"
    return None


def typed(text: str, schemas: Sequence[Schema]) -> Any:
    """Give the value that a text stands for in a field of these schemas.

    A string stays as it is; where the schema says nothing, JSON is read as JSON and all else is a string.

    Raises:
        WrongType: no form of the field has room for it.
    """
    words = [schema["enum"] for schema in schemas if isinstance(schema.get("enum"), list)]
    words += [[schema["const"]] for schema in schemas if "const" in schema]
    types = [str(schema["type"]) for schema in schemas if schema.get("type") is not None]
    for word in (word for each in words for word in each):
        if text == (word if isinstance(word, str) else json.dumps(word)):
            return word
    if not types:
        return _json_or_text(text)
    for kind in types:
        try:
            return _READERS[kind](text)
        except (ValueError, KeyError, RecursionError):
            continue
    if "string" in types:
        return text
    raise WrongType(f"takes {' or '.join(dict.fromkeys(types))}, not {shortened(text)}")


def _json_or_text(text: str) -> Any:
    try:
        return strict_json(text)
    except (ValueError, RecursionError):
        return text


def strict_json(text: str) -> Any:
    """Read JSON as the standard has it.

    Raises:
        ValueError: it is not, as NaN and Infinity are not, though Python reads them; or a number in it is too long.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_int=_shorter_integer)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _shorter_integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number has more than {_DIGITS} digits")
    return int(digits)


def shortened(text: str) -> str:
    """Quote a text for a message, and not all of it where it is long."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _null(text: str) -> None:
    return {"null": None}[text.strip()]


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text.strip()) is None:
        raise ValueError
    return int(text)


def _number(text: str) -> float | int:
    if _INTEGER.fullmatch(text.strip()) is not None:
        return int(text)
    if _NUMBER.fullmatch(text.strip()) is None or abs(value := float(text)) == float("inf"):
        raise ValueError
    return value


def _array(text: str) -> list[Any]:
    match strict_json(text):
        case list() as value:
            return value
        case other:
            raise WrongType(f"takes array, not {type(other).__name__}")


def _object(text: str) -> dict[str, Any]:
    match strict_json(text):
        case dict() as value:
            return value
        case other:
            raise WrongType(f"takes object, not {type(other).__name__}")


_READERS: Final = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "array": _array,
    "object": _object,
}
