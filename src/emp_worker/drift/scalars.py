"""Compare what two schemas say of numbers, of texts, and of single values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

from emp_worker.drift.difference import Difference, Word, refused, unknown
from emp_worker.drift.shapes import Schema, listed, same, type_of, types_of

CHECKED_FORMATS: Final = frozenset(
    {
        "date",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv4network",
        "ipv6",
        "ipv6network",
        "time",
        "uri",
        "uuid",
    }
)
"""Formats that not every text has, and that models check."""
_SAMPLES: Final = ("a", "0", " ", "Z", "-", "é", "\n")
"""Characters to look for a text that a pattern refuses."""


def numbers(old: Schema, new: Schema, at: str) -> Iterator[Difference]:
    """Compare bounds and steps."""
    whole = "number" not in types_of(old)
    for side, beyond, sign in (("minimum", "below", 1), ("maximum", "above", -1)):
        bound, is_out = _bound(new, side, sign, whole=whole)
        if (bound, is_out) > _bound(old, side, sign, whole=whole):
            reach = f"{sign * bound:g} and {beyond}" if is_out else f"{beyond} {sign * bound:g}"
            yield refused(at, f"numbers {reach} are not taken any more")
    step = new.get("multipleOf")
    if step is not None and not _is_multiple(old.get("multipleOf", 1 if whole else None), step):
        yield refused(at, f"only multiples of {step} are taken now")


def _bound(schema: Schema, side: str, sign: int, *, whole: bool) -> tuple[float, bool]:
    """Give a bound so that the stricter of two is the greater: its value times the sign, and whether it is out."""
    bounds = [(-math.inf, False)]
    if side in schema:
        bounds.append((sign * schema[side], False))
    if (strict := schema.get(f"exclusive{side.capitalize()}")) is not None:
        bounds.append((sign * strict, True))
    value, is_out = max(bounds)
    if whole and math.isfinite(value):
        return (math.floor(value) + 1 if is_out else math.ceil(value)), False
    return value, is_out


def _is_multiple(old: float | None, new: float) -> bool:
    return old is not None and (Fraction(str(old)) / Fraction(str(new))).denominator == 1


def texts(old: Schema, new: Schema, at: str) -> Iterator[Difference]:
    """Compare lengths, pattern and format."""
    if (least := new.get("minLength", 0)) > old.get("minLength", 0):
        yield refused(at, f"texts shorter than {least} are not taken any more")
    if (most := new.get("maxLength", math.inf)) < old.get("maxLength", math.inf):
        yield refused(at, f"texts longer than {most} are not taken any more")
    if (pattern := new.get("pattern")) is not None and pattern != old.get("pattern"):
        yield _of_pattern(old, pattern, at)
    if (form := new.get("format")) is not None and form != old.get("format"):
        is_open = form in CHECKED_FORMATS and not {"pattern", "format"} & old.keys()
        if is_open:
            yield refused(at, f"only texts of the format {form} are taken now")
        elif form in CHECKED_FORMATS:
            yield unknown(at, f"the format is {form} now")


def _of_pattern(old: Schema, pattern: str, at: str) -> Difference:
    """Look for a text that the old schema takes and the pattern refuses."""
    if not {"pattern", "format"} & old.keys():
        least, most = old.get("minLength", 0), old.get("maxLength", math.inf)
        lengths = {least, min(least + 3, most)}
        try:
            tried = [character * int(length) for length in sorted(lengths) for character in _SAMPLES]
            found = next((text for text in tried if re.search(pattern, text) is None), None)
        except re.error:
            found = None
        if found is not None:
            return refused(at, f"only texts like {pattern} are taken now, so {found!r} is not")
    return unknown(at, f"texts must be like {pattern} now")


def one_value(value: Any, new: Schema, at: str) -> Iterator[Difference]:
    """Compare one value of the old schema with the rules of the new one."""
    words = listed(new)
    if words is not None and not any(same(value, word) for word in words):
        yield refused(at, f"{value!r} is not taken any more")
        return
    kind = type_of(value)
    if kind not in types_of(new):
        yield refused(at, f"{value!r} is not taken any more, as {kind} is not")
    elif kind in {"integer", "number"}:
        for each in numbers({"type": kind, "minimum": value, "maximum": value, "multipleOf": value or 1}, new, at):
            yield refused(at, f"{value!r} is not taken any more: {each.why}")
    elif kind == "string":
        yield from _one_text(value, new, at)
    elif new.keys() - {"type", "enum", "const"} and kind in {"array", "object"}:
        yield unknown(at, f"whether {kind}s that the old schema lists are taken")


def _one_text(value: str, new: Schema, at: str) -> Iterator[Difference]:
    lengths = {"minLength": len(value), "maxLength": len(value)}
    for each in texts({**lengths, "pattern": new.get("pattern"), "format": ""}, new, at):
        yield Difference(each.word, at, f"{value!r}: {each.why}")
    try:
        if "pattern" in new and re.search(new["pattern"], value) is None:
            yield Difference(Word.REFUSED, at, f"{value!r} is not taken any more: it is not like {new['pattern']}")
    except re.error:
        yield unknown(at, f"whether {value!r} is like {new['pattern']}")
