"""Walk through two schemas at once: references, unions and types; what is below a type is compared elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from emp_worker.drift.containers import arrays, objects
from emp_worker.drift.difference import Difference, refused, unknown
from emp_worker.drift.scalars import numbers, one_value, texts
from emp_worker.drift.shapes import (
    TYPES,
    Lost,
    Schema,
    are_apart,
    canonical,
    is_nothing,
    listed,
    resolved,
    types_of,
)

_UNIONS: Final = ("anyOf", "oneOf")
_READ: Final = frozenset(
    {
        "additionalProperties",
        "const",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "pattern",
        "prefixItems",
        "properties",
        "required",
        "type",
        "uniqueItems",
    }
)
"""Keywords that are understood, besides references, unions and `allOf`."""
_FINITE: Final[dict[str, tuple[Any, ...]]] = {"null": (None,), "boolean": (False, True)}


class Comparison:
    """Compares parts of two documents, in which references are followed."""

    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self._old_root = old_root
        self._new_root = new_root
        self._under_way: set[tuple[str, str]] = set()

    def compare(self, old: Any, new: Any, at: str) -> Iterator[Difference]:
        """List what values of the old part meet in the new part."""
        try:
            left, right = resolved(self._old_root, old), resolved(self._new_root, new)
        except Lost as error:
            yield unknown(at, str(error))
            return
        if is_nothing(left) or not right:
            return
        if is_nothing(right):
            yield refused(at, "nothing is taken here any more")
            return
        pair = (canonical(left), canonical(right))
        if pair in self._under_way or (pair[0] == pair[1] and '"$ref"' not in pair[0]):
            # Below itself a schema meets only what has been compared above.
            return
        self._under_way.add(pair)
        yield from self._joined(left, right, at)
        self._under_way.discard(pair)

    def _joined(self, old: Schema, new: Schema, at: str) -> Iterator[Difference]:
        """Take `allOf` apart: every part of the new one must hold; of the old one, all hold together."""
        if "allOf" in new:
            rest = {word: value for word, value in new.items() if word != "allOf"}
            for part in (*new["allOf"], rest):
                yield from self.compare(old, part, at)
        elif "allOf" in old:
            parts = [{word: value for word, value in old.items() if word != "allOf"}, *old["allOf"]]
            if not any(not list(self.compare(part, new, at)) for part in parts):
                yield from self._together(parts, new, at)
        else:
            yield from self._united(old, new, at)

    def _together(self, parts: list[Any], new: Schema, at: str) -> Iterator[Difference]:
        joined: dict[str, Any] = {}
        for part in parts:
            plain = resolved(self._old_root, part)
            if any(joined.get(word, value) != value for word, value in plain.items()):
                yield unknown(at, "the old schema joins several rules of one kind with allOf")
                return
            joined |= plain
        yield from self.compare(joined, new, at)

    def _united(self, old: Schema, new: Schema, at: str) -> Iterator[Difference]:
        """Take unions apart: each branch of the old one must be taken by the new one."""
        for word in _UNIONS:
            if word in old:
                rest = {other: value for other, value in old.items() if other != word}
                for branch in old[word]:
                    yield from self.compare({"allOf": [rest, branch]} if rest else branch, new, at)
                return
        for word in _UNIONS:
            if word in new:
                rest = {other: value for other, value in new.items() if other != word}
                yield from self.compare(old, rest, at)
                for piece in _pieces(old):
                    yield from self._in_union(piece, new[word], word, at)
                return
        yield from self._plain(old, new, at)

    def _in_union(self, old: Schema, branches: list[Any], word: str, at: str) -> Iterator[Difference]:
        near = [branch for branch in branches if not are_apart(self._old_root, old, self._new_root, branch)]
        if not near:
            yield refused(at, f"{_named(old)} is not taken any more")
            return
        found = [list(self.compare(old, branch, at)) for branch in near]
        if any(not each for each in found):
            if word == "oneOf" and len(near) > 1:
                yield unknown(at, "more than one branch of oneOf may take the same value")
        elif len(near) == 1:
            yield from found[0]
        else:
            yield unknown(at, f"{_named(old)} has several forms now")

    def _plain(self, old: Schema, new: Schema, at: str) -> Iterator[Difference]:
        for word in sorted(new.keys() - _READ):
            if canonical(old.get(word)) != canonical(new[word]):
                yield unknown(at, f"the new schema says `{word}`")
        words = listed(old)
        if words is not None:
            for value in words:
                yield from one_value(value, new, at)
            return
        if (only := listed(new)) is not None:
            yield from _into_list(old, only, at)
            return
        old_types, new_types = types_of(old), types_of(new)
        for kind in (each for each in TYPES if each in old_types - new_types):
            if not (kind == "integer" and "number" in old_types):
                is_whole = kind == "number" and "integer" in new_types
                yield refused(at, f"{'numbers with a fraction are' if is_whole else f'{kind} is'} not taken any more")
        common = old_types & new_types
        if common & {"integer", "number"}:
            yield from numbers(old, new, at)
        if "string" in common:
            yield from texts(old, new, at)
        if "array" in common:
            yield from arrays(old, new, at, self.compare)
        if "object" in common:
            yield from objects(old, new, at, self.compare)


def _into_list(old: Schema, only: list[Any], at: str) -> Iterator[Difference]:
    """Compare what is no list with a list."""
    types = types_of(old)
    if types <= _FINITE.keys():
        for value in (value for kind in sorted(types) for value in _FINITE[kind]):
            yield from one_value(value, {"enum": only}, at)
        return
    shown = ", ".join(map(repr, only[:5])) + (", ..." if len(only) > 5 else "")
    is_open = not old.keys() - {"type", "description"}
    yield (refused if is_open else unknown)(at, f"only {shown} {'is' if len(only) == 1 else 'are'} taken now")


def _pieces(schema: Schema) -> Iterator[Schema]:
    """Split a schema so that each piece has one type or one value; integers stay with the numbers."""
    words = listed(schema)
    if words is not None:
        rest = {word: value for word, value in schema.items() if word not in {"enum", "const"}}
        yield from ({**rest, "const": value} for value in words)
        return
    types = types_of(schema)
    for kind in (each for each in TYPES if each in types):
        if not (kind == "integer" and "number" in types):
            yield {**schema, "type": kind}


def _named(schema: Schema) -> str:
    words, types = listed(schema), types_of(schema)
    shown = (each for each in TYPES if each in types and not (each == "integer" and "number" in types))
    return repr(words[0]) if words else " or ".join(shown)
