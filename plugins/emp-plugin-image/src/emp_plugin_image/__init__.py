"""Work on pictures: `image.thumbnail`, `image.convert` and `image.montage`."""

from __future__ import annotations

from typing import Any, Final

from emp_plugin_image.convert import convert
from emp_plugin_image.models import (
    BASE64_LIMIT,
    Convert,
    Format,
    Montage,
    MontageResult,
    PictureResult,
    Thumbnail,
    ThumbnailResult,
)
from emp_plugin_image.montage import montage
from emp_plugin_image.picture import fit, kept_format, open_picture, write
from emp_worker import JobContext, JobType, hookimpl

__all__ = [
    "CONVERT",
    "MONTAGE",
    "THUMBNAIL",
    "Convert",
    "Format",
    "Montage",
    "MontageResult",
    "PictureResult",
    "Thumbnail",
    "ThumbnailResult",
    "emp_job_types",
]

_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESDCgA0wMeAAg1MCAO/EATx/9yNvAAAAAElFTkSuQmCC"
"""An 8 x 8 PNG, small enough for the documentation."""


# A few bytes may decode to hundreds of megabytes, and a decoder may have a fault: neither may take the worker.
_APART: Final[dict[str, Any]] = {"isolation": "process", "memory_limit": 2 * 1024**3, "concurrency": 2}


def thumbnail(payload: Thumbnail, job: JobContext) -> ThumbnailResult:
    """Scale a picture down into a box, upright and in its proportions."""
    job.progress(0.0, "reading")
    picture = open_picture(payload.image)
    kind = kept_format(picture) if payload.format is Format.KEEP else payload.format
    icc_profile = picture.info.get("icc_profile")
    width, height = picture.size
    job.log.info("%s picture of %d x %d pixels", picture.format, width, height)
    job.raise_if_cancelled()
    job.progress(0.2, "scaling")
    small = fit(picture, payload.width, payload.height)
    job.raise_if_cancelled()
    job.progress(0.7, "writing")
    data = write(small, kind, payload.quality, icc_profile)
    job.progress(1.0, "done")
    return ThumbnailResult(image=data, format=kind, width=small.width, height=small.height, bytes=len(data))


THUMBNAIL = JobType(
    "image.thumbnail",
    thumbnail,
    title="Thumbnail",
    examples=[{"image": _DOT, "width": 4}, {"image": _DOT, "width": 4, "height": 2, "format": "jpeg", "quality": 70}],
    timeout=60,
    **_APART,
    payload_limit=BASE64_LIMIT + 64 * 1024,
)
CONVERT = JobType(
    "image.convert",
    convert,
    title="Convert a picture",
    examples=[{"image": _DOT, "format": "jpeg"}, {"image": _DOT, "format": "webp", "turn": 90, "grey": True}],
    timeout=120,
    **_APART,
    payload_limit=BASE64_LIMIT + 64 * 1024,
)
MONTAGE = JobType(
    "image.montage",
    montage,
    title="Montage",
    examples=[{"images": [_DOT, _DOT, _DOT], "cell_width": 16, "cell_height": 16, "gap": 2}],
    timeout=300,
    **_APART,
)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare all three."""
    return [THUMBNAIL, CONVERT, MONTAGE]
