"""Payloads and results on a page: laid out, cut, and pictures as pictures."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image

from emp_core.store import Head
from emp_server.monitor.excerpts import TEXT_LIMIT, excerpt, picture_type


def picture(kind: str) -> str:
    """Give a small picture in base64."""
    file = io.BytesIO()
    Image.new("RGB", (31, 17), (9, 99, 200)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def head(value: object) -> Head:
    """Give a JSON text of which nothing is left off."""
    text = json.dumps(value).encode()
    return Head(text, len(text))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_a_picture_is_known_by_how_it_begins(kind):
    assert picture_type(picture(kind)) == f"image/{kind}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "iVBORw0KGgo",
        "iVBORw0KGgo=" + '"onerror="alert(1)',
        base64.b64encode(b"<svg onload=alert(1)>" * 9).decode(),
        "x" * 64,
    ],
    ids=["empty", "too-short", "not-base64", "svg", "letters"],
)
def test_what_only_looks_like_a_picture_is_text(text):
    assert picture_type(text) is None


def test_pictures_are_taken_out_of_the_text():
    shown = excerpt(head({"list": [{"image/png": picture("png")}], "n": 1}))

    [found] = shown.pictures
    assert (found.pointer, found.media_type) == ("/list/0/image~1png", "image/png")
    assert "(PNG picture, " in shown.text
    assert found.data not in shown.text


def test_a_text_of_which_only_the_beginning_was_read_is_shown_as_it_came():
    shown = excerpt(Head(b'{"a": [1, 2', 10_000_000))

    assert (shown.text, shown.is_whole, shown.size) == ('{"a": [1, 2', False, 10_000_000)


def test_a_text_that_is_long_although_it_is_laid_out_is_cut():
    shown = excerpt(head({"items": [{"n": number} for number in range(20_000)]}))

    assert (len(shown.text), shown.is_whole) == (TEXT_LIMIT, False)


def test_what_is_not_json_is_shown():
    assert excerpt(Head(b"\xff<b>", 4)).text == "\ufffd<b>"


def test_json_deeper_than_anybody_reads_is_shown_as_it_came():
    text = b"[" * 5000 + b"]" * 5000

    assert excerpt(Head(text, len(text))).text.startswith("[[[[")
