"""Show a payload or a result: its JSON laid out, its pictures as pictures, and only as much as a page can hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from emp_core.store import Head
from emp_server.monitor.legible import DEPTH_SHOWN, Verbatim, laid_out, read_json
from emp_server.monitor.wording import of_bytes

TEXT_LIMIT: Final = 64 * 1024
RAW_LIMIT: Final = 4 * 1024
PICTURES_SHOWN: Final = 4

_MAGIC: Final = (
    ("image/png", re.compile(r"iVBORw0KGgo")),
    ("image/jpeg", re.compile(r"/9j/")),
    ("image/gif", re.compile(r"R0lGOD[dl]h")),
    ("image/webp", re.compile(r"UklGR[A-Za-z0-9+/]{6}XRUJQ")),
)
"""How pictures begin in base64. What only says that it is a picture is not shown as one."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture inside JSON: where (a JSON pointer), and its bytes in base64."""

    pointer: str
    media_type: str
    data: str

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.data) * 3 // 4 - self.data[-2:].count("=")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a page shows of a JSON text."""

    text: str
    size: int
    is_whole: bool
    pictures: tuple[Picture, ...] = ()


def excerpt(head: Head) -> Excerpt:
    """Lay the text out if all of it is there; else show its beginning as it came."""
    if head.is_whole:
        try:
            pictures: list[Picture] = []
            text = laid_out(_without_pictures(read_json(head.text), "", pictures))
            if len(text) <= TEXT_LIMIT:
                return Excerpt(text, head.size, is_whole=True, pictures=tuple(pictures))
            return Excerpt(text[:TEXT_LIMIT], head.size, is_whole=False, pictures=tuple(pictures))
        except ValueError:
            pass
    shown = head.text[:RAW_LIMIT]
    return Excerpt(shown.decode("utf-8", "replace"), head.size, is_whole=len(shown) == head.size)


def _without_pictures(value: Any, pointer: str, pictures: list[Picture]) -> Any:
    """Collect the pictures of a value, and put notes in their places.

    Raises:
        ValueError: it is deeper than anybody could read.
    """
    if pointer.count("/") > DEPTH_SHOWN:
        raise ValueError("too deep")
    match value:
        case dict():
            return {
                key: _without_pictures(each, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", pictures)
                for key, each in value.items()
            }
        case list():
            return [_without_pictures(each, f"{pointer}/{at}", pictures) for at, each in enumerate(value)]
        case Verbatim():
            return value
        case str() if len(pictures) < PICTURES_SHOWN and (media_type := picture_type(value)) is not None:
            picture = Picture(pointer, media_type, value)
            pictures.append(picture)
            return Verbatim(f"({media_type.removeprefix('image/').upper()} picture, {of_bytes(picture.size)})")
        case _:
            return value


def picture_type(text: str) -> str | None:
    """Give the media type of a picture in base64; None if the text is not one."""
    for media_type, magic in _MAGIC:
        if magic.match(text) and _BASE64.fullmatch(text) and len(text) % 4 == 0:
            return media_type
    return None
