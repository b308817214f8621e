"""Text from anywhere becomes fit to be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_server.monitor.legible import cut, laid_out, message_of, read_json, visible


@pytest.mark.parametrize(
    "mark", ["\0", "\x1b", "\x7f", "\x85", "\u200b", "\u200e", "\u202e", "\u2028", "\u2066", "\ufeff", "\ud800"]
)
def test_what_cannot_be_seen_is_spelled_out(mark):
    assert visible(f"a{mark}b") == f"a\\u{ord(mark):04x}b"


def test_line_breaks_and_other_scripts_stay():
    text = "a\n\tb \u05e9\u05dc\u05d5\u05dd \u4f60\u597d \U0001f469\u200d\U0001f4bb"

    assert visible(text) == text


def test_a_long_text_is_cut_and_says_so():
    assert cut("x" * 100, 10) == "xxxxxxxxx\u2026"
    assert cut("x" * 10, 10) == "x" * 10


def test_numbers_stay_as_they_were_written():
    text = b'{"a": 1.10, "b": 123456789012345678901234567890, "c": 1E5}'

    assert laid_out(read_json(text)) == '{\n  "a": 1.10,\n  "b": 123456789012345678901234567890,\n  "c": 1E5\n}'


def test_a_short_list_stays_on_a_line_and_a_long_string_is_cut():
    shown = laid_out(read_json(json.dumps({"list": [1, 2, 3], "text": "x" * 1_000_000}).encode()))

    assert '"list": [1, 2, 3]' in shown
    assert "(1,000,000 characters)" in shown
    assert len(shown) < 1000


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
)


@given(_values)
def test_laid_out_json_is_the_same_json(value):
    assert json.loads(laid_out(read_json(json.dumps(value).encode()))) == value


def test_json_that_nobody_could_read_is_refused():
    with pytest.raises(ValueError, match="deep"):
        laid_out(read_json(b"[" * 100 + b"]" * 100))
    with pytest.raises(ValueError, match="deep"):
        read_json(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("end", range(1, 40))
def test_a_message_is_read_from_the_beginning_of_an_error(end):
    error = json.dumps({"kind": "E", "message": 'a "quoted" \u20ac\n' * 3}).encode()
    whole = json.loads(error)["message"]

    shown = message_of(error[: len(error) - end])

    assert whole.startswith(shown)


@pytest.mark.parametrize("error", [None, b"", b"{}", b"not json", b'{"message": 5}', b"\xff\xfe", b'{"message":"'])
def test_an_error_without_a_message_has_none(error):
    assert message_of(error) == ""
