"""Refuse, with the place, what msgspec lets through in JSON that it does not build.

`msgspec.Raw` checks syntax only. Invalid UTF-8 and great depth inside it would break whoever parses it later, and a key
that comes twice is silently taken from its last place.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from emp_core.errors import InvalidRequest, TooLarge

DEPTH_LIMIT: Final = 64
MESSAGE_LENGTH: Final = 300


def refuse_empty(body: bytes) -> None:
    """Check that there is a body.

    Raises:
        InvalidRequest: there is none, or white space alone.
    """
    if not body[:1].strip() and not body.strip():
        raise InvalidRequest("the body is empty; send JSON")


def decoded(body: bytes) -> str:
    """Give the body as text; JSON is UTF-8 without a byte order mark (RFC 8259, section 8.1).

    Raises:
        InvalidRequest: it is something else, or nothing; the message has the byte.
    """
    refuse_empty(body)
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise InvalidRequest("the body begins with a byte order mark; send plain UTF-8")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 (byte {error.start})") from error


def refuse_depth(body: bytes) -> None:
    """Check how deep well-formed JSON is nested.

    Raises:
        InvalidRequest: deeper than whoever parses it later will follow.
    """
    # Counting brackets is cheap and settles nearly every body.
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT and _is_deeper(body, DEPTH_LIMIT):
        raise InvalidRequest(f"the body is nested deeper than {DEPTH_LIMIT} levels")


def refuse_many_values(body: bytes, limit: int) -> None:
    """Check how many values JSON has, before anything is made of them: each takes up to a hundred times its bytes.

    A member of an object counts as two: its name is a value, too, and takes as long to read.

    Raises:
        TooLarge: more than the limit.
    """
    # Each takes two bytes, but for the last one: most bodies need no look.
    if len(body) // 2 < limit or _values_in(body) <= limit:
        return
    if _values_in(_without_strings(body, 2 * limit)) > limit:
        raise TooLarge(f"the body has more than {limit} JSON values and member names", limit=limit)


def _values_in(body: bytes) -> int:
    """Return how many values and names JSON has, at most.

    There is one value, and one more for each comma and each array or object with contents; a name has a colon.
    """
    opened = body.count(b"[") + body.count(b"{") - body.count(b"[]") - body.count(b"{}")
    return 1 + body.count(b",") + body.count(b":") + opened


_TEXT_OF_MARKS: Final = re.compile(rb'"[^"]+"')
_ALL_BUT_PUNCTUATION: Final = bytes(set(range(256)) - set(b',:[]{}"'))


def _without_strings(body: bytes, limit: int) -> bytes:
    """Return the punctuation of JSON without its strings; with them, if there are more than the limit."""
    without_escapes = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = without_escapes.translate(None, _ALL_BUT_PUNCTUATION).replace(b'""', b"")
    if marks.count(b'"') > 2 * limit:
        return marks
    parts, position = [], 0
    for text in _TEXT_OF_MARKS.finditer(marks):
        parts.append(marks[position : text.start()])
        position = text.end()
    return b"".join((*parts, marks[position:]))


def malformed(error: Exception, text: str = "") -> InvalidRequest:
    """Turn what msgspec raises about a body into an error with a place."""
    match error:
        case msgspec.ValidationError():
            return _misfit(str(error))
        case msgspec.DecodeError():
            # msgspec calls a lone surrogate at the end "truncated": say what it is, and where.
            lone = _lone_surrogate(text)
            if lone is not None:
                return InvalidRequest(f"the body holds half of a surrogate pair (character {lone})")
            return InvalidRequest(_ENDS_EARLY if str(error) == _TRUNCATED else shortened(str(error)))
        case RecursionError():
            return InvalidRequest(f"the body is nested deeper than {DEPTH_LIMIT} levels")
        case _:
            return InvalidRequest("the body is not UTF-8")


def pointer(*path: str | int) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join("/" + shortened(str(part)).replace("~", "~0").replace("/", "~1") for part in path)


def shortened(text: str) -> str:
    """Keep a message that may quote the client within bounds."""
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 3] + "..."


_TRUNCATED: Final = "Input data was truncated"
_ENDS_EARLY: Final = "the body's JSON ends before it is whole"
_PLACE: Final = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_NAMED_FIELD: Final = re.compile(r"(?:unknown|required) field `(.*)`$", re.DOTALL)


def _misfit(text: str) -> InvalidRequest:
    place = _PLACE.search(text)
    message = text[: place.start()] if place else text
    path = [part for part in re.split(r"[.\[\]]+", place[1]) if part] if place else []
    if named := _NAMED_FIELD.search(message):
        path.append(named[1])
    return InvalidRequest(shortened(message), pointer=pointer(*path))


_BEFORE_KEY: Final = re.compile(r'[ \t\n\r]*[{,][ \t\n\r]*(?=")')
_COLON: Final = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")


class _RepeatedInside(Exception):
    """An object inside the envelope has a key twice."""


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedInside
    return members


_values: Final = json.JSONDecoder(object_pairs_hook=_refuse_repeats)


def repeated_key(text: str, raw_key: str, raw: str) -> str | None:
    """Find a key that an object has twice, or that holds an object with a key twice.

    `text` is known to be well-formed, and `raw` to be the last value of `raw_key`: it is stepped over unread. Where an
    earlier value differs, the step by the last one's length leads into the middle of something; so a step that lands
    neither on a key nor on the end shows a repeat.
    """
    seen: set[str] = set()
    position = 0
    key: str
    while (opening := _BEFORE_KEY.match(text, position)) is not None:
        key, position = _values.raw_decode(text, opening.end())
        if key in seen:
            return key
        seen.add(key)
        colon = _COLON.match(text, position)
        if colon is None:
            return raw_key
        position = colon.end()
        if key == raw_key:
            if not text.startswith(raw, position):
                return key
            position += len(raw)
            continue
        try:
            _, position = _values.raw_decode(text, position)
        except _RepeatedInside:
            return key
        except ValueError:
            return raw_key
    return None if text[position:].strip(" \t\n\r") == "}" else raw_key


_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")
_ALL_BUT_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


def _lone_surrogate(text: str) -> int | None:
    r"""Give the place of an escape from `\ud800` to `\udfff` without its other half."""
    high: re.Match[str] | None = None
    for escape in _ESCAPE.finditer(text):
        unit = int(escape[1], 16) if escape[1] else 0
        is_low = 0xDC00 <= unit <= 0xDFFF
        if high is not None and not (is_low and escape.start() == high.end()):
            return high.start()
        if high is None and is_low:
            return escape.start()
        high = escape if 0xD800 <= unit <= 0xDBFF else None
    return None if high is None else high.start()


def _is_deeper(body: bytes, limit: int) -> bool:
    """Tell whether well-formed JSON is nested deeper than a limit, in a few passes at the speed of C.

    Only brackets and quotes are kept; strings without brackets vanish (two that meet there may merge: nothing stood
    between them), the others are cut out. Then each pass takes away the innermost level.
    """
    without_escapes = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = without_escapes.translate(_AS_SQUARE, _ALL_BUT_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
