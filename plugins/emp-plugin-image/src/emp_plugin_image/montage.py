"""`image.montage`: pictures side by side."""

from __future__ import annotations

import math

from PIL import Image

from emp_plugin_image.models import Format, Montage, MontageResult
from emp_plugin_image.picture import PIXEL_LIMIT, fit, open_picture, write
from emp_worker import JobContext, JobError


def montage(payload: Montage, job: JobContext) -> MontageResult:
    """Put pictures side by side, each as large as its cell lets it be and in the middle of it."""
    count = len(payload.images)
    columns = min(payload.columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    size = (_side(columns, payload.cell_width, payload.gap), _side(rows, payload.cell_height, payload.gap))
    if size[0] * size[1] > PIXEL_LIMIT:
        told = f"the montage would have {size[0]} x {size[1]} pixels; at most {PIXEL_LIMIT:,} are made"
        raise JobError(f"{told}: ask for smaller cells", retryable=False, code="too_many_pixels")
    canvas = Image.new("RGB", size, payload.background)
    for number, data in enumerate(payload.images):
        job.raise_if_cancelled()
        cell = _cell(data, payload, number)
        row, column = divmod(number, columns)
        left = payload.gap + column * (payload.cell_width + payload.gap) + (payload.cell_width - cell.width) // 2
        top = payload.gap + row * (payload.cell_height + payload.gap) + (payload.cell_height - cell.height) // 2
        canvas.paste(cell, (left, top), cell)
        job.progress((number + 1) / (count + 1), f"picture {number + 1} of {count}")
    kind = Format(payload.format)
    written = write(canvas, kind, payload.quality, None, what="montage")
    return MontageResult(
        image=written,
        format=kind,
        width=size[0],
        height=size[1],
        bytes=len(written),
        columns=columns,
        rows=rows,
    )


def _side(cells: int, length: int, gap: int) -> int:
    return gap + cells * (length + gap)


def _cell(data: bytes, payload: Montage, number: int) -> Image.Image:
    try:
        return fit(open_picture(data), payload.cell_width, payload.cell_height).convert("RGBA")
    except JobError as error:
        place = f"/images/{number}"
        raise JobError(f"{place}: {error}", retryable=False, code=error.code, errors={place: str(error)}) from None
