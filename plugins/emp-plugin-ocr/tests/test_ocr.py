"""image.ocr on real pictures with the real model."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from PIL import Image, ImageDraw

from emp_plugin_ocr import OCR, read
from emp_plugin_ocr.reader import Reader
from emp_worker import JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.testing import Cancelled, Completed, Failed, JobRun, run_job

Read = Callable[..., JobRun]
WORDS = "Hello World 2026"


@pytest.fixture(scope="module")
def warm() -> JobType:
    """Give the job type with a model that is loaded once for all tests."""
    reader = Reader()
    return JobType(OCR.name, read, lifespan=lambda: nullcontext(reader))


@pytest.fixture
def ocr(warm: JobType) -> Read:
    """Give a function that reads a picture."""

    def run(data: bytes, **fields: Any) -> JobRun:
        return run_job(warm, {"image": base64.b64encode(data).decode(), **fields})

    return run


def written(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def page(*lines: str, size: tuple[int, int] = (400, 120), mode: str = "RGB") -> Image.Image:
    """Write lines in black on white, 40 pixels one below the other."""
    image = Image.new(mode, size, "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((20, 10 + 40 * number), line, fill="black", font_size=28)
    return image


def said(run: JobRun) -> str:
    """Give what was read, without spaces: where those are is the least certain."""
    assert isinstance(run.outcome, Completed), run.error
    return str(run.result["text"]).replace(" ", "")


def code(run: JobRun) -> str:
    assert isinstance(run.outcome, Failed), run.outcome
    assert run.error is not None
    return str(run.error["code"])


def test_a_line_is_read_with_its_place(ocr: Read):
    run = ocr(written(page(WORDS)))

    assert said(run) == "HelloWorld2026"
    (line,) = run.result["lines"]
    assert line["confidence"] > 0.8
    (left, top), (right, _), (_, bottom), _ = line["box"]
    assert abs(left - 20) < 12
    assert abs(top - 14) < 12
    assert right > 200
    assert bottom < 60
    assert (run.result["width"], run.result["height"]) == (400, 120)


def test_lines_come_from_top_to_bottom(ocr: Read):
    run = ocr(written(page("first line", "second line", "third line", size=(400, 160))))

    assert said(run).splitlines() == ["firstline", "secondline", "thirdline"]


def test_a_picture_without_text_has_no_lines(ocr: Read):
    run = ocr(written(Image.new("RGB", (300, 200), "white")))

    assert (run.result["text"], run.result["lines"]) == ("", [])


def test_what_the_reader_is_not_sure_of_is_left_out(ocr: Read):
    blurred = page(WORDS).resize((80, 24)).resize((400, 120))

    lines = ocr(written(blurred), min_confidence=0).result["lines"]
    sure = ocr(written(blurred), min_confidence=1).result["lines"]

    assert len(lines) == 1
    assert sure == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_is_read(ocr: Read, kind: str):
    assert said(ocr(written(page(WORDS), kind))) == "HelloWorld2026"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_every_mode_is_read(ocr: Read, mode: str):
    plain = page(WORDS)
    if mode == "I;16":
        grey = plain.convert("L")
        image = Image.frombytes("I;16", grey.size, b"".join(struct.pack("<H", each * 257) for each in grey.tobytes()))
    else:
        image = plain.convert(mode)

    assert said(ocr(written(image))) == "HelloWorld2026"


def test_black_on_nothing_is_read_as_black_on_white(ocr: Read):
    image = Image.new("RGBA", (400, 120), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((20, 10), WORDS, fill=(0, 0, 0, 255), font_size=28)

    assert said(ocr(written(image))) == "HelloWorld2026"


def test_a_picture_is_turned_upright_first(ocr: Read):
    exif = Image.Exif()
    exif[0x0112] = 6
    held = page(WORDS).transpose(Image.Transpose.ROTATE_90)

    run = ocr(written(held, "JPEG", exif=exif.tobytes()))

    assert said(run) == "HelloWorld2026"
    assert (run.result["width"], run.result["height"]) == (400, 120)


def test_of_an_animated_picture_the_first_frame_is_read(ocr: Read):
    run = ocr(written(page("first"), "GIF", save_all=True, append_images=[page("second"), page("third")]))

    assert said(run) == "first"


@pytest.mark.parametrize("size", [(4, 4), (160, 4), (4, 160), (2000, 50)])
def test_small_and_slim_pictures_are_read(ocr: Read, size: tuple[int, int]):
    assert said(ocr(written(Image.new("RGB", size, "white")))) == ""


def test_progress_goes_up_line_by_line(ocr: Read):
    run = ocr(written(page(*(f"line {number}" for number in range(8)), size=(400, 340))))

    fractions = [each.fraction for each in run.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "6 of 8 lines read" in [each.message for each in run.progress]


def test_a_job_that_is_called_off_stops_between_the_lines(warm: JobType):
    image = base64.b64encode(written(page(*(f"line {number}" for number in range(8)), size=(400, 340)))).decode()

    run = run_job(warm, {"image": image}, cancel_at=0.4)

    assert isinstance(run.outcome, Cancelled)


def _png_that_promises(width: int, height: int) -> bytes:
    """Write a PNG of a few bytes whose header promises a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8_000, 5_001), (10_000, 10_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(ocr: Read, size: tuple[int, int]):
    assert code(ocr(_png_that_promises(*size))) == "too_many_pixels"


@pytest.mark.parametrize("size", [(1, 1), (3, 100), (100, 3), (41 * 4, 4), (4, 41 * 4)])
def test_a_picture_that_the_model_cannot_take_is_refused(ocr: Read, size: tuple[int, int]):
    assert code(ocr(written(Image.new("RGB", size)))) == "unreadable_shape"


@pytest.mark.parametrize("data", [b"x", b"not a picture" * 100, b"%PDF-1.7\n", b"<svg/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(ocr: Read, data: bytes):
    run = ocr(data)

    assert code(run) == "not_a_picture"
    assert run.error is not None
    assert run.error["errors"][0]["pointer"] == "/image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_picture_that_was_cut_off_is_refused(ocr: Read, kind: str):
    data = written(page(WORDS), kind)

    assert code(ocr(data[: len(data) // 2])) == "broken_picture"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_damage_anywhere_gives_a_reading_or_a_clear_refusal(ocr: Read, kind: str):
    data = written(page("ab", size=(64, 48)), kind)
    chance = random.Random(7)
    for offset in chance.sample(range(len(data)), 20):
        broken = bytearray(data)
        broken[offset : offset + 4] = chance.randbytes(4)

        run = ocr(bytes(broken))

        refusals = {"broken_picture", "not_a_picture", "too_many_pixels", "unreadable_shape"}
        assert isinstance(run.outcome, Completed) or code(run) in refusals, f"damaged at {offset}: {run.error}"


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/image"),
        ({"image": "a Gk="}, "/image"),
        ({"image": "aGk=", "min_confidence": 2}, "/min_confidence"),
        ({"image": "aGk=", "language": "en"}, "/language"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_place(warm: JobType, payload: dict[str, Any], pointer: str):
    run = run_job(warm, payload)

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [pointer]


def test_the_contract_of_plugins_is_kept():
    findings = check_job_type(OCR, run=True)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
