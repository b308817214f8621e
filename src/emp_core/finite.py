"""Find NaN and Infinity, for which JSON has no number: pydantic writes them as null."""

from __future__ import annotations

import contextlib
import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from pydantic_core import CoreSchema, PydanticSerializationError, SchemaSerializer, to_json

_POINTER_LIMIT: Final = 20
_MISSING: Final = object()

_Path = tuple[Any, ...]


def non_finite_pointers(value: Any, text: bytes, schema: CoreSchema, *, by_alias: bool | None = None) -> list[str]:
    """Return the JSON pointers (RFC 6901) of NaN and Infinity in `value`, at most 20 of them.

    `text` is the JSON that pydantic wrote of the value by `schema` and `by_alias`. Usually it holds no null and no
    constant; then it has kept every number, and the value is not inspected. Otherwise two more dumps find the numbers,
    since models bring settings of their own:

    - In JSON mode the numbers of typed fields stay numbers, and those of `Any` follow the setting of the root.
    - Python mode shows also those of `Any` in a model that stands where the schema says `Any`.

    A number that was written as a string is accepted (`ser_json_inf_nan="strings"`, or a serializer of the model). The
    first dump uses up a generator inside the value, so its items are not checked.
    """
    if value is None or not holds_null_or_constant(text):
        return []
    serializer = SchemaSerializer(schema, {"ser_json_inf_nan": "constants"})
    for mode in ("json", "python"):
        with contextlib.suppress(PydanticSerializationError):  # some serializers can write one of the modes only
            tree = serializer.to_python(value, mode=mode, by_alias=by_alias, warnings=False)
            plain = to_json(tree, inf_nan_mode="constants", bytes_mode="base64", serialize_unknown=True)
            if _has_constant(plain) and (paths := list(islice(_lost(tree, text), _POINTER_LIMIT))):
                return [pointer_of(path) for path in paths]
    return []


def holds_null_or_constant(text: bytes) -> bool:
    """Return whether JSON may have lost a number; most has not, and this is what it costs them."""
    # `in` tries a bytes object as a number first, and raises an exception inside, which costs ten times the search.
    return text.find(b"null") >= 0 or _has_constant(text)


def refused_places(pointers: Sequence[str]) -> str:
    """Return the text of an error about numbers that JSON cannot hold."""
    return f"it holds NaN or Infinity at {', '.join(pointer or 'its top' for pointer in pointers)}"


def pointer_of(path: _Path) -> str:
    """Return the JSON pointer (RFC 6901) of a path of keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _has_constant(text: bytes) -> bool:
    """Return whether JSON holds the constants of JavaScript, be it in a string."""
    return text.find(b"NaN") >= 0 or text.find(b"Infinity") >= 0


def _lost(tree: Any, text: bytes) -> Iterator[_Path]:
    """Yield the paths of numbers that are not finite and that `text` has as null or as a constant."""
    written = _MISSING
    for path in _non_finite([tree]):
        if written is _MISSING:
            written = [json.loads(text)]
        if (there := _at(written, path)) is None or isinstance(there, float):
            yield path[1:]


def _non_finite(tree: Any) -> Iterator[_Path]:
    """Yield the paths of the numbers in a container that are not finite."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, float):
            if not math.isfinite(value):
                yield (key,)
        elif isinstance(value, dict | list | tuple | set | frozenset | deque):
            yield from ((key, *path) for path in _non_finite(value))


def _at(written: Any, path: _Path) -> Any:
    """Return what stands at a path of parsed JSON, or `_MISSING`."""
    for part in path:
        try:
            written = written[part if isinstance(written, list) else str(part)]
        except (LookupError, TypeError):
            return _MISSING
    return written
