"""Read the text in pictures: `image.ocr`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emp_plugin_ocr.models import Line, Picture, Reading
from emp_plugin_ocr.picture import decoded, open_picture
from emp_worker import JobContext, JobType, hookimpl

if TYPE_CHECKING:
    from emp_plugin_ocr.reader import Reader

__all__ = ["OCR", "Line", "Picture", "Reading", "emp_job_types"]

GIB = 1024**3
_log = logging.getLogger("emp_plugin_ocr")
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESDCgA0wMeAAg1MCAO/EATx/9yNvAAAAAElFTkSuQmCC"
"""An 8 x 8 PNG without text, small enough for the documentation."""


@contextmanager
def reader() -> Iterator[Reader]:
    """Load the model, once per child process."""
    from emp_plugin_ocr.reader import Reader  # noqa: PLC0415 - the worker itself must not load onnxruntime and OpenCV

    loaded = Reader()
    _log.info("ocr_model_loaded")
    yield loaded


def read(payload: Picture, job: JobContext) -> Reading:
    """Read the text in a picture: what it says, where, and how sure that is."""
    model: Reader = job.resources
    job.progress(0.0, "decoding")
    picture = decoded(open_picture(payload.image))
    job.raise_if_cancelled()
    job.progress(0.05, "looking for lines")
    boxes = model.find(picture)
    job.log.info("%d x %d pixels, %d lines found", picture.width, picture.height, len(boxes))
    lines: list[Line] = []
    done = 0
    for batch in model.read(picture, boxes):
        job.raise_if_cancelled()
        lines += [
            Line(text=text, confidence=round(sure, 4), box=[(round(x, 1), round(y, 1)) for x, y in box])
            for box, text, sure in batch
            if text.strip() and sure >= payload.min_confidence
        ]
        done = min(done + len(batch), len(boxes))
        job.progress(0.3 + 0.7 * done / len(boxes), f"{done} of {len(boxes)} lines read")
    job.progress(1.0, f"{len(lines)} lines read")
    text = "\n".join(line.text for line in lines)
    return Reading(text=text, lines=lines, width=picture.width, height=picture.height)


OCR = JobType(
    "image.ocr",
    read,
    title="Text in a picture",
    examples=[{"image": _DOT}, {"image": _DOT, "min_confidence": 0.8}],
    timeout=300,
    isolation="process",
    # One child with one model, which computes on all cores.
    concurrency=1,
    memory_limit=2 * GIB,
    lifespan=reader,
)


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare image.ocr."""
    return [OCR]
