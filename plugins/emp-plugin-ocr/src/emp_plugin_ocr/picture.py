"""Open and decode pictures within bounds; what cannot be read is a JobError that no retry would mend, with a code."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Final

from PIL import Image, ImageOps

from emp_worker import JobError

PIXEL_LIMIT: Final = 40_000_000
"""The most pixels that are decoded, checked against the header: a page of A4 at 600 dpi has 35 million."""
SHORTEST: Final = 4
"""The least pixels that a side may have."""
SLIMMEST: Final = 40
"""So many times as long as the other a side may be: beyond, the reader's own scaling breaks."""

_READ: Final = ("PNG", "JPEG", "WEBP", "GIF")
# What Pillow's decoders raise for broken data; which of them depends on the format and on the place of the damage.
_BROKEN: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def _refused(message: str, code: str) -> JobError:
    return JobError(message, retryable=False, code=code, errors={"/image": message})


def open_picture(data: bytes) -> Image.Image:
    """Read a picture's header, decoding nothing yet.

    Raises:
        JobError: `not_a_picture`, `too_many_pixels`, or `unreadable_shape`.
    """
    try:
        picture = Image.open(io.BytesIO(data), formats=_READ)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _refused(f"the picture has more than {PIXEL_LIMIT:,} pixels", "too_many_pixels") from None
    except _BROKEN:
        names = ", ".join(_READ)
        raise _refused(f"the bytes are not a whole picture in a known format ({names})", "not_a_picture") from None
    width, height = picture.size
    if width * height > PIXEL_LIMIT:
        told = f"the picture has {width} x {height} pixels; at most {PIXEL_LIMIT:,} are decoded"
        raise _refused(told, "too_many_pixels")
    if min(width, height) < SHORTEST or max(width, height) > SLIMMEST * min(width, height):
        told = f"each side must have {SHORTEST} pixels, and none may be {SLIMMEST} times as long as the other: cut it"
        raise _refused(f"the picture has {width} x {height} pixels; {told}", "unreadable_shape")
    return picture


def decoded(picture: Image.Image) -> Image.Image:
    """Decode a picture's first frame, turn it upright, and put it on white.

    Raises:
        JobError: `broken_picture`: its data is damaged or cut off.
    """
    try:
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16 bits of grey, which a plain conversion would clip to white
            upright = upright.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        transparent = upright.convert("RGBA")
    except _BROKEN as error:
        raise _refused(f"the picture is damaged or cut off: {error}", "broken_picture") from None
    white = Image.new("RGB", transparent.size, "white")
    white.paste(transparent, mask=transparent.getchannel("A"))
    return white
