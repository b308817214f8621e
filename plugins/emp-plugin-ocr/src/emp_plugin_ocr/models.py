"""What image.ocr is asked for and what it answers."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

BASE64_LIMIT: Final = 15 * 1024 * 1024


def _decode(value: Any) -> Any:
    """Read base64 strictly; Python's own reading skips what does not belong."""
    if not isinstance(value, str):
        return value
    if len(value) > BASE64_LIMIT:
        raise ValueError(f"the base64 text has {len(value):,} characters; at most {BASE64_LIMIT:,} are taken")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64 of the standard alphabet, padded and without whitespace: {error}") from None


Base64 = Annotated[
    bytes,
    BeforeValidator(_decode),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^[A-Za-z0-9+/]*={0,2}$",
            "minLength": 4,
            "maxLength": BASE64_LIMIT,
        }
    ),
]


class Picture(BaseModel):
    """A picture with text in it."""

    model_config = ConfigDict(extra="forbid")

    image: Base64 = Field(description="the picture (PNG, JPEG, WebP or GIF), its bytes in base64", min_length=1)
    min_confidence: float = Field(
        default=0.5, ge=0, le=1, description="how sure the reader must be of a line, 0 to 1; others are left out"
    )


class Line(BaseModel):
    """One line of text, as far as it stands together."""

    text: str = Field(description="what it says")
    confidence: float = Field(description="how sure the reader is, 0 to 1")
    box: list[tuple[float, float]] = Field(
        description="its four corners [x, y] in pixels of the upright picture, clockwise from the top left"
    )


class Reading(BaseModel):
    """What was read."""

    text: str = Field(description="the lines, from top to bottom and left to right, each on a line of its own")
    lines: list[Line] = Field(description="each line with its place")
    width: int = Field(description="the upright picture's width in pixels")
    height: int = Field(description="the upright picture's height in pixels")
