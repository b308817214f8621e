"""What the job types are asked for and what they answer."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

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
    """The format in which a picture is written; keep: its own."""

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


Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class Convert(BaseModel):
    """A picture, and how it is to be written."""

    model_config = ConfigDict(extra="forbid")

    image: Base64 = Field(description="the picture (PNG, JPEG, WebP or GIF), its bytes in base64", min_length=1)
    format: Format = Field(description="the format to write; keep: the picture's own, PNG for a GIF")
    quality: int = Field(default=85, ge=1, le=100, description="how good a JPEG or WebP is, 1 to 100")
    turn: Literal[0, 90, 180, 270] = Field(
        default=0, description="how far it is turned clockwise, in degrees, after it was put upright"
    )
    grey: bool = Field(default=False, description="whether its colours become shades of grey")
    background: Colour = Field(
        default="#ffffff",
        description="what shows through transparency in a JPEG, as #rrggbb",
    )


class Montage(BaseModel):
    """Pictures to put side by side in cells of one size, row by row."""

    model_config = ConfigDict(extra="forbid")

    images: list[Base64] = Field(
        min_length=1, max_length=100, description="the pictures (PNG, JPEG, WebP or GIF), their bytes in base64"
    )
    columns: int = Field(
        default=0, ge=0, le=100, description="how many stand in a row; 0: as many as make the montage about square"
    )
    cell_width: int = Field(default=256, ge=1, le=4096, description="the width of a cell, in pixels")
    cell_height: int = Field(default=256, ge=1, le=4096, description="the height of a cell, in pixels")
    gap: int = Field(default=8, ge=0, le=512, description="the space between and around the cells, in pixels")
    background: Colour = Field(
        default="#ffffff",
        description="the colour between and behind the pictures, as #rrggbb",
    )
    format: Literal["png", "jpeg", "webp"] = Field(default="png", description="the montage's format")
    quality: int = Field(default=85, ge=1, le=100, description="how good a JPEG or WebP is, 1 to 100")


class PictureResult(BaseModel):
    """A picture that was made."""

    image: Base64 = Field(description="its bytes in base64")
    format: Format = Field(description="its format: png, jpeg or webp")
    width: int = Field(description="its width in pixels")
    height: int = Field(description="its height in pixels")
    bytes: int = Field(description="how many bytes it has")


class MontageResult(PictureResult):
    """A montage."""

    columns: int = Field(description="how many pictures stand in a row")
    rows: int = Field(description="how many rows there are")
