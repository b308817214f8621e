"""What image.thumbnail is asked for and what it answers."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

BASE64_LIMIT: Final = 11 * 1024 * 1024


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
        },
        mode="validation",
    ),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}, mode="serialization"),
]


class Format(StrEnum):
    """The format of a thumbnail."""

    KEEP = "keep"
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class Thumbnail(BaseModel):
    """A picture, and the box that it has to fit into."""

    model_config = ConfigDict(extra="forbid")

    image: Base64 = Field(description="the picture (PNG, JPEG, WebP or GIF), its bytes in base64", min_length=1)
    width: int = Field(ge=1, le=4096, description="the width of the box, in pixels")
    height: int | None = Field(
        default=None, ge=1, le=4096, description="the height of the box, in pixels; null: whatever the width gives"
    )
    format: Format = Field(
        default=Format.KEEP, description="the thumbnail's format; keep: the picture's own, PNG for a GIF"
    )
    quality: int = Field(default=85, ge=1, le=100, description="how good a JPEG or WebP is, 1 to 100")


class ThumbnailResult(BaseModel):
    """A thumbnail."""

    image: Base64 = Field(description="the thumbnail's bytes in base64")
    format: Format = Field(description="its format: png, jpeg or webp")
    width: int = Field(description="its width in pixels")
    height: int = Field(description="its height in pixels")
    bytes: int = Field(description="how many bytes it has")
