"""Compare what two schemas say of arrays and objects; their parts are compared by whoever is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from emp_worker.drift.difference import Difference, refused
from emp_worker.drift.shapes import Schema

Compare = Callable[[Any, Any, str], Iterator[Difference]]


def arrays(old: Schema, new: Schema, at: str, compare: Compare) -> Iterator[Difference]:
    """Compare lengths and items."""
    if (least := new.get("minItems", 0)) > old.get("minItems", 0):
        yield refused(at, f"arrays of fewer than {least} items are not taken any more")
    if (most := new.get("maxItems", math.inf)) < _most_items(old):
        yield refused(at, f"arrays of more than {most} items are not taken any more")
    if new.get("uniqueItems") and not old.get("uniqueItems") and _most_items(old) > 1:
        yield refused(at, "arrays that hold an item twice are not taken any more")
    first, then = old.get("prefixItems", []), new.get("prefixItems", [])
    for place in range(max(len(first), len(then))):
        if place < min(_most_items(old), most):
            yield from compare(_item(old, first, place), _item(new, then, place), f"{at}/{place}")
    if min(_most_items(old), most) > max(len(first), len(then)):
        yield from compare(old.get("items", True), new.get("items", True), f"{at}/*")


def _most_items(schema: Schema) -> float:
    most: float = schema.get("maxItems", math.inf)
    return min(most, len(schema.get("prefixItems", []))) if schema.get("items") is False else most


def _item(schema: Schema, prefix: list[Any], place: int) -> Any:
    return prefix[place] if place < len(prefix) else schema.get("items", True)


def objects(old: Schema, new: Schema, at: str, compare: Compare) -> Iterator[Difference]:
    """Compare required fields, each field, and what other fields there may be."""
    had, has = old.get("properties", {}), new.get("properties", {})
    others, now_others = old.get("additionalProperties", True), new.get("additionalProperties", True)
    for name in new.get("required", ()):
        if name not in old.get("required", ()):
            what = "is new and required; give it a default" if name not in had else "is required now; it was optional"
            yield refused(_below(at, name), what)
    if (least := new.get("minProperties", 0)) > max(old.get("minProperties", 0), len(old.get("required", ()))):
        yield refused(at, f"objects of fewer than {least} fields are not taken any more")
    if (most := new.get("maxProperties", math.inf)) < old.get("maxProperties", _most_fields(had, others)):
        yield refused(at, f"objects of more than {most} fields are not taken any more")
    for name, field in had.items():
        place = _below(at, name)
        if name in has:
            yield from compare(field, has[name], place)
        elif now_others is False:
            yield refused(place, "this field is not taken any more")
        else:
            yield from compare(field, now_others, place)
    if isinstance(others, dict):
        # A field that has a name now had to fit the rule for others before.
        for name in has.keys() - had.keys():
            yield from compare(others, has[name], _below(at, name))
    if now_others is False and others is not False:
        yield refused(at, "fields that the schema does not name are not taken any more")
    elif others is not False:
        yield from compare(others, now_others, f"{at}/*")


def _most_fields(named: Schema, others: Any) -> float:
    return len(named) if others is False else math.inf


def _below(at: str, name: str) -> str:
    return f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
