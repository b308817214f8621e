"""`image.convert`: a picture in another format."""

from __future__ import annotations

from typing import Final

from PIL import Image

from emp_plugin_image.models import Convert, Format, PictureResult
from emp_plugin_image.picture import ANY_SIZE, fit, kept_format, open_picture, write
from emp_worker import JobContext

_TURNS: Final = {
    90: Image.Transpose.ROTATE_270,  # Pillow turns the other way round
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def convert(payload: Convert, job: JobContext) -> PictureResult:
    """Write a picture in another format, upright, without its metadata."""
    job.progress(0.0, "reading")
    picture = open_picture(payload.image)
    kind = kept_format(picture) if payload.format is Format.KEEP else payload.format
    icc_profile = picture.info.get("icc_profile")
    job.log.info("%s picture of %d x %d pixels", picture.format, picture.width, picture.height)
    whole = fit(picture, ANY_SIZE, None)
    job.raise_if_cancelled()
    job.progress(0.5, "converting")
    if payload.turn:
        whole = whole.transpose(_TURNS[payload.turn])
    if payload.grey:
        whole = whole.convert("LA" if whole.mode.endswith("A") else "L")
    job.raise_if_cancelled()
    job.progress(0.7, "writing")
    data = write(whole, kind, payload.quality, icc_profile, background=payload.background, what="picture")
    return PictureResult(image=data, format=kind, width=whole.width, height=whole.height, bytes=len(data))
