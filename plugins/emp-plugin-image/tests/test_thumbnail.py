"""image.thumbnail on real pictures, performed as a worker performs it."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageCms

import emp_plugin_image
from emp_plugin_image import CONVERT, MONTAGE, THUMBNAIL
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.pytest_plugin import StartWorker
from emp_worker.testing import Completed, Failed, JobRun, run_job

RED, GREEN, BLUE, WHITE = (254, 0, 0), (0, 128, 0), (0, 0, 254), (255, 255, 255)


def seeded() -> random.Random:
    """Give chance that is the same in every run."""
    return random.Random(7)


def picture(mode: str = "RGB", size: tuple[int, int] = (400, 200)) -> Image.Image:
    """Make a picture with something to see: noise that no format squeezes to nothing."""
    return Image.frombytes("RGB", size, seeded().randbytes(size[0] * size[1] * 3)).convert(mode)


def corners(size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Make a picture whose top left is red, top right green, and bottom blue."""
    drawn = Image.new("RGB", size, BLUE)
    drawn.paste(RED, (0, 0, size[0] // 2, size[1] // 2))
    drawn.paste(GREEN, (size[0] // 2, 0, size[0], size[1] // 2))
    return drawn


def written(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def thumbnail(data: bytes, width: int = 100, **fields: Any) -> JobRun:
    return run_job(THUMBNAIL, {"image": base64.b64encode(data).decode(), "width": width, **fields})


def seen(run: JobRun) -> Image.Image:
    """Open the thumbnail that a run gave."""
    assert isinstance(run.outcome, Completed), run.error
    return Image.open(io.BytesIO(base64.b64decode(run.result["image"])))


def code(run: JobRun) -> str:
    """Give the code of a run that failed for good."""
    assert isinstance(run.outcome, Failed), run.outcome
    assert run.error is not None
    return run.error["code"]


def close(one: Any, other: Any) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((400, 200), (100, None), (100, 50)),
        ((400, 200), (100, 20), (40, 20)),
        ((400, 200), (100, 100), (100, 50)),
        ((200, 400), (100, 100), (50, 100)),
        ((40, 20), (100, 100), (40, 20)),
        ((400, 1), (10, None), (10, 1)),
    ],
)
def test_a_picture_fits_its_box_in_its_proportions(size, box, expected):
    run = thumbnail(written(picture(size=size)), box[0], height=box[1])

    assert (run.result["width"], run.result["height"]) == expected
    assert seen(run).size == expected


def test_the_result_says_how_many_bytes_the_thumbnail_has():
    run = thumbnail(written(picture()))

    assert run.result["bytes"] == len(base64.b64decode(run.result["image"]))


@pytest.mark.parametrize(("kind", "kept"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", "png")])
def test_keep_keeps_the_format(kind, kept):
    run = thumbnail(written(picture(), kind))

    assert run.result["format"] == kept
    assert seen(run).format == kept.upper()


@pytest.mark.parametrize("wish", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_every_format(mode, wish):
    source = Image.new("I;16", (60, 40), 40_000) if mode == "I;16" else picture("RGB", (60, 40)).convert(mode)

    run = thumbnail(written(source), 30, format=wish)

    assert seen(run).format == wish.upper()


def test_a_jpeg_in_cmyk_becomes_a_picture_in_rgb():
    run = thumbnail(written(Image.new("CMYK", (60, 40), (0, 255, 255, 0)), "JPEG"), 30, format="png")

    assert seen(run).mode == "RGB"
    assert close(seen(run).getpixel((5, 5)), RED)


def test_sixteen_bits_of_grey_keep_their_brightness():
    run = thumbnail(written(Image.new("I;16", (60, 40), 32_768)), 30)

    assert abs(seen(run).getpixel((5, 5)) - 128) <= 1


def test_less_quality_makes_fewer_bytes():
    sizes = [thumbnail(written(picture()), 200, format="jpeg", quality=quality).result["bytes"] for quality in (20, 95)]

    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_out_upright_however_the_camera_was_held(orientation, kind):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = corners()
    held = upright.transpose(undo[orientation]) if orientation in undo else upright

    run = thumbnail(written(held, kind, exif=exif.tobytes()), 40, format="png")

    small = seen(run)
    assert small.size == (40, 20)
    assert close(small.getpixel((8, 4)), RED)
    assert close(small.getpixel((32, 4)), GREEN)
    assert close(small.getpixel((20, 16)), BLUE)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_cannot_be_read_does_not_spoil_the_picture():
    run = thumbnail(written(corners(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), 40)

    assert seen(run).size == (40, 20)


def test_transparency_becomes_white_in_a_jpeg():
    run = thumbnail(written(Image.new("RGBA", (40, 40), (254, 0, 0, 0))), 20, format="jpeg")

    assert close(seen(run).getpixel((10, 10)), WHITE)


def test_transparency_stays_in_a_png():
    run = thumbnail(written(Image.new("RGBA", (40, 40), (254, 0, 0, 0))), 20)

    assert seen(run).getpixel((10, 10))[3] == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_colour_profile_is_kept(kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    run = thumbnail(written(picture(), kind, icc_profile=profile))

    assert seen(run).info["icc_profile"] == profile


def test_a_colour_profile_that_no_longer_fits_is_left_out():
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"

    run = thumbnail(written(Image.new("CMYK", (60, 40)), "JPEG", icc_profile=bytes(profile)))

    assert "icc_profile" not in seen(run).info


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_where_and_with_what_it_was_taken_is_left_out(kind):
    exif = Image.Exif()
    exif[0x010F] = "a secret camera"

    run = thumbnail(written(picture(), kind, exif=exif.tobytes()))

    assert b"a secret camera" not in base64.b64decode(run.result["image"])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animated_picture_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (40, 20), colour) for colour in (RED, GREEN, BLUE)]

    run = thumbnail(written(frames[0], kind, save_all=True, append_images=frames[1:]), 20, format="png")

    small = seen(run)
    assert getattr(small, "n_frames", 1) == 1
    assert close(small.convert("RGB").getpixel((5, 5)), RED)


def test_a_picture_from_a_phone_that_holds_several_is_read_as_jpeg():
    run = thumbnail(written(corners(), "MPO", save_all=True, append_images=[picture()]), 40)

    assert run.result["format"] == "jpeg"


def _png_that_promises(width: int, height: int) -> bytes:
    """Write a PNG of a few bytes whose header promises a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(5_000, 5_001), (10_000, 10_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(size):
    run = thumbnail(_png_that_promises(*size))

    assert code(run) == "too_many_pixels"


def test_a_few_bytes_that_promise_fifty_million_pixels_are_refused():
    bomb = base64.b64decode("UklGRiYAAABXRUJQVlA4TBkAAAAvV9vuFgdQgVQIIAAKGgJJW7ztj4+I6H8AAA==")  # a WebP of 7000 x 7100

    assert code(thumbnail(bomb)) == "too_many_pixels"


@pytest.mark.parametrize("job_type", [THUMBNAIL, CONVERT, MONTAGE], ids=lambda job_type: job_type.name)
def test_pictures_are_decoded_in_a_child_process_with_a_memory_limit(job_type):
    """What a picture takes, or a fault in a decoder, costs its own job only."""
    assert job_type.isolation == "process"
    assert job_type.memory_limit == 2 * 1024**3


@pytest.mark.parametrize("data", [b"x", b"not a picture" * 100, b"%PDF-1.7\n", b"<svg/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(data):
    run = thumbnail(data)

    assert code(run) == "not_a_picture"


def test_a_picture_of_another_format_is_refused():
    run = thumbnail(written(picture(), "TIFF"))

    assert code(run) == "not_a_picture"


@pytest.mark.parametrize(
    ("kind", "expected"),
    # A WebP says in its header how long it is, so that a short one is noticed at once.
    [("PNG", "broken_picture"), ("JPEG", "broken_picture"), ("GIF", "broken_picture"), ("WEBP", "not_a_picture")],
)
def test_a_picture_that_was_cut_off_is_refused(kind, expected):
    data = written(picture(), kind)

    run = thumbnail(data[: len(data) * 2 // 3])

    assert code(run) == expected


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_damage_anywhere_gives_a_thumbnail_or_a_clear_refusal(kind):
    data = written(corners((64, 64)), kind)
    chance = seeded()
    for offset in chance.sample(range(len(data)), min(60, len(data))):
        broken = bytearray(data)
        broken[offset : offset + 4] = chance.randbytes(4)

        run = thumbnail(bytes(broken), 16)

        assert isinstance(run.outcome, Completed) or code(run) in {
            "broken_picture",
            "not_a_picture",
            "too_many_pixels",
        }, f"{kind} damaged at {offset}: {run.error}"


def test_a_thumbnail_that_fits_no_result_is_refused_with_the_remedy():
    noise = written(picture(size=(2_100, 2_100)), "JPEG", quality=60)

    run = thumbnail(noise, 2_100, format="png")

    assert code(run) == "thumbnail_too_large"
    assert run.error is not None
    assert "webp" in run.error["message"]


@pytest.mark.parametrize("text", ["aGk", "aGk=\n", "a Gk=", "aGk_", "=aGk", "äöü=", "aGkhaGkh=aGk"], ids=ascii)
def test_what_is_not_plain_base64_is_refused_with_its_place(text):
    run = run_job(THUMBNAIL, {"image": text, "width": 10})

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == ["/image"]


def test_an_empty_payload_names_each_missing_field():
    run = run_job(THUMBNAIL, {})

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == ["/image", "/width"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("width", 0), ("width", 4097), ("height", 0), ("quality", 101), ("format", "bmp"), ("depth", 1)],
)
def test_a_value_out_of_bounds_is_refused_with_its_place(field, value):
    run = thumbnail(written(picture()), **{"width": 10, field: value})

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [f"/{field}"]


def test_the_schema_says_that_the_picture_is_base64():
    schema = THUMBNAIL.payload_schema["properties"]["image"]

    assert schema["contentEncoding"] == "base64"
    assert schema["maxLength"] == 11 * 1024 * 1024


def test_progress_goes_up_to_the_end():
    run = thumbnail(written(picture()))

    fractions = [each.fraction for each in run.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_worker_stores_the_thumbnail(emp_stack: StartWorker):
    payload = {"image": base64.b64encode(written(corners())).decode(), "width": 40}

    job = emp_stack(emp_plugin_image).run("image.thumbnail", payload)

    assert (job.state, job.result["width"], job.result["height"]) == ("completed", 40, 20)


def test_the_contract_of_plugins_is_kept():
    findings = check_job_type(THUMBNAIL, run=True)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
