"""Read, fit and write pictures; what cannot be done is a JobError that no retry would mend, with a code."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Final

from PIL import Image

from emp_plugin_image.models import Format
from emp_worker import JobError

PIXEL_LIMIT: Final = 25_000_000
"""The most pixels that are decoded, checked against the header: they take up to 750 MB while they are worked on."""

RESULT_LIMIT: Final = 11 * 1024 * 1024
ANY_SIZE: Final = 1_000_000
"""A box that no picture has to be scaled down for."""

_READ: Final = ("PNG", "JPEG", "WEBP", "GIF")
_KEPT: Final = {"PNG": Format.PNG, "JPEG": Format.JPEG, "MPO": Format.JPEG, "WEBP": Format.WEBP, "GIF": Format.PNG}
_ORIENTATION: Final = 0x0112  # EXIF 2.3, 4.6.4
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ICC_MODES: Final = {b"RGB ": ("RGB", "RGBA"), b"GRAY": ("L", "LA")}

# What Pillow's decoders raise for broken data; which of them depends on the format and on the place of the damage.
_BROKEN: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def _refused(message: str, code: str) -> JobError:
    return JobError(message, retryable=False, code=code)


def open_picture(data: bytes) -> Image.Image:
    """Read a picture's header, decoding nothing yet.

    Raises:
        JobError: `not_a_picture`, or `too_many_pixels`.
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
        raise _refused(
            f"the picture has {width} x {height} pixels; at most {PIXEL_LIMIT:,} are decoded", "too_many_pixels"
        )
    return picture


def kept_format(picture: Image.Image) -> Format:
    """Give the format that `keep` means for this picture."""
    return _KEPT[picture.format or "PNG"]


def fit(picture: Image.Image, width: int, height: int | None) -> Image.Image:
    """Decode a picture's first frame, scale it down into the box and turn it upright; a smaller one keeps its size.

    Raises:
        JobError: `broken_picture`: its data is damaged or cut off.
    """
    try:
        if picture.format not in {"JPEG", "MPO"}:
            picture.load()
        orientation = _orientation(picture)
        on_its_side = orientation >= 5
        seen = (picture.height, picture.width) if on_its_side else picture.size
        size = _fitted(seen, width, height)
        stored = (size[1], size[0]) if on_its_side else size
        picture.draft(None, (stored[0] * 2, stored[1] * 2))  # a JPEG can be decoded at a fraction of its size
        picture.load()
    except _BROKEN as error:
        raise _refused(f"the picture is damaged or cut off: {error}", "broken_picture") from None
    plain = _plain(picture)
    small = plain if plain.size == stored else plain.resize(stored, Image.Resampling.LANCZOS)
    return small.transpose(_TURNS[orientation]) if orientation in _TURNS else small


def write(
    picture: Image.Image,
    kind: Format,
    quality: int,
    icc_profile: bytes | None,
    *,
    background: str = "white",
    what: str = "thumbnail",
) -> bytes:
    """Write a picture in a format, with the colour profile where it still fits the colours and without other metadata.

    Raises:
        JobError: `..._too_large`, after what it is.
    """
    if kind is Format.JPEG and picture.mode in {"LA", "RGBA"}:
        opaque = picture.mode.removesuffix("A")
        below = Image.new("RGB", picture.size, background).convert(opaque)
        below.paste(picture.convert(opaque), mask=picture.getchannel("A"))
        picture = below
    if kind is Format.WEBP and picture.mode in {"L", "LA"}:
        picture = picture.convert("RGBA" if picture.mode == "LA" else "RGB")
    picture.info = {}  # a place or a name in the original's metadata is not for who sees the thumbnail
    keeps_profile = icc_profile is not None and picture.mode in _ICC_MODES.get(icc_profile[16:20], ())
    out = io.BytesIO()
    picture.save(out, kind.value.upper(), quality=quality, icc_profile=icc_profile if keeps_profile else None)
    data = out.getvalue()
    if len(data) > RESULT_LIMIT:
        told = f"the {what} has {len(data):,} bytes; at most {RESULT_LIMIT:,} fit a result: ask for a smaller size"
        raise _refused(f"{told}, or for jpeg or webp", f"{what}_too_large")
    return data


def _orientation(picture: Image.Image) -> int:
    """Read how the camera was held, 1 to 8; metadata that cannot be read says nothing."""
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _fitted(size: tuple[int, int], width: int, height: int | None) -> tuple[int, int]:
    """Scale a size down into a box, keeping its proportions; neither side becomes less than one pixel."""
    scale = min(1.0, width / size[0], 1.0 if height is None else height / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plain(picture: Image.Image) -> Image.Image:
    """Bring a picture into one of the modes that can be scaled and written: L, LA, RGB, RGBA."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which a plain conversion would clip to white
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        return picture.convert("LA" if picture.mode in {"LA", "La"} else "RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
