"""The model: where a picture has lines of text, and what they say. Importing this loads onnxruntime and OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image
from rapidocr_onnxruntime import RapidOCR

BATCH: Final = 6
"""So many lines are read at once, which is also what the model takes at once."""
_LONGEST_SIDE: Final = 2000
"""Larger pictures are scaled down to look for lines; the lines themselves are read in their full size."""

Box = Sequence[Sequence[float]]


class Reader:
    """Loads the model; that takes a second and 100 MB."""

    def __init__(self) -> None:
        # By default a small picture is scaled up until its shorter side has 736 pixels: a line of 600 x 60 would take
        # twenty times as long, and be read no better.
        self._engine: Any = RapidOCR(
            max_side_len=_LONGEST_SIDE, det_limit_type="max", det_limit_side_len=_LONGEST_SIDE, text_score=0.0
        )

    def find(self, picture: Image.Image) -> list[Box]:
        """Find the lines of an RGB picture, from top to bottom and left to right."""
        boxes, _ = self._engine(picture, use_det=True, use_cls=False, use_rec=False)
        return boxes or []

    def read(self, picture: Image.Image, boxes: Sequence[Box]) -> Iterator[list[tuple[Box, str, float]]]:
        """Read lines, a batch at a time: each with its place, its text, and how sure that is."""
        pixels = self._engine.load_img(picture)
        for start in range(0, len(boxes), BATCH):
            batch = [box for box in boxes[start : start + BATCH] if _is_plane(box)]
            if batch:
                cut = self._engine.get_crop_img_list(pixels, [np.asarray(box, dtype=np.float32) for box in batch])
                upright, *_ = self._engine.text_cls(cut)
                read, _ = self._engine.text_rec(upright)
                yield [(box, str(text), float(sure)) for box, (text, sure, *_) in zip(batch, read, strict=True)]


def _is_plane(box: Box) -> bool:
    """Tell whether a box has a width and a height of a pixel at least, without which it cannot be cut out."""
    corners = np.asarray(box)
    across = np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[0] - corners[3])
    return bool(min(across) >= 1)
