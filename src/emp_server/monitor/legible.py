"""Make text from anywhere fit to be read: what cannot be seen is spelled out, what is long is cut, JSON is laid out.

Escaping for HTML is not done here: the templates escape every value.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Controls, marks that turn the direction of text, and characters without width; line breaks and tabs stay."""
CUT: Final = "…"
LONG_STRING: Final = 400
"""Characters of a string inside JSON that are shown."""
_MESSAGE: Final = re.compile(r'"message"\s*:\s*("(?:[^"\\]|\\.)*)')
DEPTH_SHOWN: Final = 64


def visible(text: str) -> str:
    r"""Spell out what cannot be seen, as `\u202e`: it must neither hide nor turn what stands beside it."""
    return INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def cut(text: str, length: int) -> str:
    """Keep the beginning of a text, and say so where it was longer."""
    return text if len(text) <= length else text[: length - 1] + CUT


def read_json(text: bytes) -> Any:
    """Read JSON to be laid out again; numbers stay as they were written.

    Raises:
        ValueError: it is not JSON, or deeper than anybody could read.
    """
    try:
        return json.loads(text, parse_int=Verbatim, parse_float=Verbatim)
    except RecursionError as error:
        raise ValueError("too deep") from error


class Verbatim(str):
    """A text to be shown as it is, without quotes: a number as it was written, or a note of ours."""

    __slots__ = ()


def laid_out(value: Any, depth: int = 0) -> str:
    """Write JSON with one member per line, short lists on one; long strings are cut.

    Raises:
        ValueError: it is deeper than anybody could read.
    """
    if depth > DEPTH_SHOWN:
        raise ValueError("too deep")
    match value:
        case Verbatim():
            return str(value)
        case dict() if value:
            inner = [f"{_string(key)}: {laid_out(each, depth + 1)}" for key, each in value.items()]
            return _block("{", inner, "}", depth)
        case list() if value:
            inner = [laid_out(each, depth + 1) for each in value]
            is_short = sum(map(len, inner)) <= 60 and not any(isinstance(each, dict | list) for each in value)
            return f"[{', '.join(inner)}]" if is_short else _block("[", inner, "]", depth)
        case str():
            return _string(value)
        case _:
            return json.dumps(value)


def _string(text: str) -> str:
    written = json.dumps(text[:LONG_STRING], ensure_ascii=False)
    return written if len(text) <= LONG_STRING else f'{written[:-1]}{CUT}" ({len(text):,} characters)'


def _block(opening: str, inner: list[str], closing: str, depth: int) -> str:
    indent = "  " * (depth + 1)
    return f"{opening}\n{indent}" + f",\n{indent}".join(inner) + f"\n{'  ' * depth}{closing}"


def message_of(error: bytes | None) -> str:
    """Give the message of an error's JSON object, of which only the beginning may be there; empty if there is none."""
    text = (error or b"").decode("utf-8", "replace")
    found = _MESSAGE.search(text)
    if found is None:
        return ""
    # The text may end in the middle of an escape: then up to five characters more are too many.
    for end in range(len(found[1]), max(len(found[1]) - 6, 1), -1):
        try:
            return str(json.loads(found[1][:end] + '"'))
        except ValueError:
            continue
    return ""
