"""image.convert and image.montage, looked at through Pillow."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from emp_plugin_image import CONVERT, MONTAGE, Convert, Montage, MontageResult, Thumbnail
from emp_worker import JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.testing import Cancelled, Failed, JobRun, run_job

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(
    width: int = 4, height: int = 2, colour: Any = RED, kind: str = "PNG", mode: str = "RGB", **options: Any
) -> str:
    out = io.BytesIO()
    Image.new(mode, (width, height), colour).save(out, kind, **options)
    return base64.b64encode(out.getvalue()).decode()


def opened(run: JobRun) -> Image.Image:
    assert run.error is None, run.error
    data = base64.b64decode(run.result["image"])
    made = Image.open(io.BytesIO(data))
    assert made.size == (run.result["width"], run.result["height"])
    assert len(data) == run.result["bytes"]
    assert made.format is not None
    assert made.format.lower() == run.result["format"]
    return made


def convert(image: str, kind: str = "png", **fields: Any) -> JobRun:
    return run_job(CONVERT, {"image": image, "format": kind, **fields})


def montage(*images: str, **fields: Any) -> JobRun:
    return run_job(MONTAGE, {"images": list(images), **fields})


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_every_format_becomes_every_other(source: str, kind: str):
    made = opened(convert(picture(6, 3, kind=source), kind))

    assert (made.format, made.size) == (kind.upper(), (6, 3))


def test_keep_is_the_pictures_own_format():
    assert opened(convert(picture(kind="JPEG"), "keep")).format == "JPEG"


@pytest.mark.parametrize(
    ("turn", "size", "corner"), [(90, (1, 2), (0, 0)), (180, (2, 1), (1, 0)), (270, (1, 2), (0, 1))]
)
def test_it_turns_clockwise(turn: int, size: tuple[int, int], corner: tuple[int, int]):
    two = Image.new("RGB", (2, 1), BLUE)
    two.putpixel((0, 0), RED)
    out = io.BytesIO()
    two.save(out, "PNG")

    made = opened(convert(base64.b64encode(out.getvalue()).decode(), turn=turn))

    assert made.size == size
    assert made.getpixel(corner) == RED


def test_it_is_put_upright_first():
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3, 4.6.4: to be turned by 90 degrees

    assert opened(convert(picture(4, 2, kind="JPEG", exif=exif), "jpeg")).size == (2, 4)


def test_grey_has_no_colour_and_keeps_transparency():
    assert opened(convert(picture(), grey=True)).mode == "L"
    assert opened(convert(picture(colour=(255, 0, 0, 100), mode="RGBA"), grey=True)).mode == "LA"


def test_the_background_shows_through_transparency():
    made = opened(convert(picture(colour=(0, 0, 0, 0), mode="RGBA"), "jpeg", background="#0000ff", quality=100))

    red, green, blue = made.convert("RGB").getpixel((0, 0))
    assert (red < 10, green < 10, blue > 245) == (True, True, True)


def test_transparency_is_kept_where_the_format_has_it():
    made = opened(convert(picture(colour=(0, 0, 0, 0), mode="RGBA"), "webp"))

    assert made.convert("RGBA").getpixel((0, 0))[3] == 0


def test_what_is_no_picture_fails_at_once():
    run = convert(base64.b64encode(b"not a picture").decode())

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert run.error["code"] == "not_a_picture"


def test_pictures_stand_row_by_row_in_the_middle_of_their_cells():
    run = montage(picture(10, 10), picture(10, 10, GREEN), picture(4, 4, BLUE), cell_width=10, cell_height=10, gap=2)

    made = opened(run)
    assert made.size == (26, 26)
    assert (run.result["columns"], run.result["rows"]) == (2, 2)
    assert [made.getpixel(place) for place in ((2, 2), (14, 2), (7, 19))] == [RED, GREEN, BLUE]
    assert [made.getpixel(place) for place in ((0, 0), (12, 5), (3, 15), (20, 20))] == [(255, 255, 255)] * 4


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(1, 0, (1, 1)), (5, 0, (3, 2)), (5, 5, (5, 1)), (2, 9, (2, 1)), (5, 1, (1, 5))]
)
def test_the_shape_follows_from_the_columns(count: int, columns: int, shape: tuple[int, int]):
    run = montage(*[picture()] * count, columns=columns, cell_width=4, cell_height=4)

    assert (run.result["columns"], run.result["rows"]) == shape


def test_pictures_of_every_mode_and_format_stand_together():
    images = [picture(kind="JPEG"), picture(kind="GIF"), picture(mode="L", colour=9), picture(mode="1", colour=1)]

    made = opened(montage(*images, picture(mode="RGBA", colour=(1, 2, 3, 0)), format="webp", background="#00ff00"))

    assert made.format == "WEBP"


def test_large_pictures_are_scaled_down_in_their_proportions():
    made = opened(montage(picture(400, 100), cell_width=40, cell_height=40, gap=0))

    assert [made.getpixel((20, y)) for y in (10, 20, 30)] == [(255, 255, 255), RED, (255, 255, 255)]


def test_a_picture_that_cannot_be_read_is_named_by_its_place():
    run = montage(picture(), base64.b64encode(b"nothing").decode())

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert run.error["code"] == "not_a_picture"
    assert run.error["errors"][0]["pointer"] == "/images/1"


def test_a_montage_of_too_many_pixels_is_not_begun():
    run = montage(*[picture()] * 4, cell_width=4096, cell_height=4096)

    assert run.error is not None
    assert run.error["code"] == "too_many_pixels"


def test_it_can_be_called_off_between_two_pictures():
    assert isinstance(run_job(MONTAGE, {"images": [picture()] * 9}, cancel_at=0.2).outcome, Cancelled)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"images": []}, "/images"),
        ({"images": ["=x"]}, "/images/0"),
        ({"columns": -1}, "/columns"),
        ({"cell_width": 0}, "/cell_width"),
        ({"background": "red"}, "/background"),
        ({"format": "bmp"}, "/format"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_place(fields: dict[str, Any], pointer: str):
    run = run_job(MONTAGE, {"images": [picture()], **fields})

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [pointer]


def test_every_field_is_explained():
    fields = {name for model in (Thumbnail, Convert, Montage, MontageResult) for name in model.model_fields}

    assert {name for name in fields if not re.search(rf"`{name}`", README)} == set()


@pytest.mark.parametrize("job_type", [CONVERT, MONTAGE], ids=lambda job_type: job_type.name)
def test_the_contract_of_plugins_is_kept(job_type: JobType):
    findings = check_job_type(job_type)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
