"""What jobs hold cannot command a terminal, nor break a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_core.cli.output import cell, error_lines, escaped, print_fields, print_json, print_table
from emp_core.errors import InvalidPayload, InvalidRequest, PayloadFault, UnknownJobType, Unreachable

HOSTILE = ["\x1b[31mred", "a\tb", "a\nb", "\r", "\x07", "\x7f", "\x9b31m", "\u202eabc", "\u2028", "\ud800", "\0"]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_shown_by_their_codes(text):
    shown = escaped(text)

    assert "\\" in shown
    assert shown.encode().decode() == shown
    assert not set(shown) & set("\x1b\t\n\r\x07\x7f\x9b\u202e\u2028\0")


@pytest.mark.parametrize("text", ["plain", "größer", "日本語", "👩‍👩‍👧", "[red]"])
def test_readable_text_stays_as_it_is(text):
    assert escaped(text) == text


@given(st.lists(st.text(), min_size=3, max_size=3))
def test_a_row_in_a_pipe_is_one_line_with_a_field_for_each_value(row):
    line = "\t".join(map(cell, row))

    assert len(line.splitlines()) <= 1
    assert line.count("\t") == 2


def test_a_time_is_shown_in_utc_to_the_second():
    there = timezone(timedelta(hours=2))

    assert cell(datetime(2026, 11, 23, 22, 40, 1, 500, tzinfo=there)) == "2026-11-23T20:40:01Z"
    assert cell(datetime(2026, 11, 23, tzinfo=UTC)) == "2026-11-23T00:00:00Z"


def test_a_table_in_a_pipe_has_no_header(capsys):
    print_table(("A", "B"), [("x", None), (1, {"y": 2})])

    assert capsys.readouterr().out == 'x\t\n1\t{"y": 2}\n'


def test_a_table_on_a_terminal_shows_job_data_as_text(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    print_table(("NAME",), [("[red]x[/red]\x1b[31m",)])

    assert r"[red]x[/red]\x1b[31m" in capsys.readouterr().out


def test_fields_without_a_value_are_left_out(capsys):
    print_fields({"id": "x", "reason": None, "tags": (), "priority": 0})

    assert capsys.readouterr().out == "id\tx\npriority\t0\n"


@pytest.mark.parametrize("text", [*HOSTILE, "größer", "👩"])
def test_json_is_ascii_and_comes_back_as_it_was(text, capsys):
    print_json({"message": text})

    out = capsys.readouterr().out
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    assert json.loads(out) == {"message": text}


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            InvalidPayload("2 faults", faults=[PayloadFault("/a", "is missing"), PayloadFault("", "is bad")]),
            ["Error: 2 faults", "  /a: is missing", "  (the whole payload): is bad"],
        ),
        (InvalidPayload("/a: is bad", faults=[PayloadFault("/a", "is bad")]), ["Error: /a: is bad"]),
        (InvalidRequest("too high", pointer="/priority"), ["Error: too high (at /priority)"]),
        (
            UnknownJobType("no type x", near=["y"]),
            ["Error: no type x", "  `emp types` lists the job types that there are."],
        ),
        (
            Unreachable("cannot reach http://h"),
            [
                "Error: cannot reach http://h",
                "  Start a server (`emp dev`, or `emp server`), or name another one with --url or EMP_URL.",
            ],
        ),
        (InvalidRequest("\x1b[31mred"), [r"Error: \x1b[31mred"]),
    ],
)
def test_an_error_says_where_and_what_to_do(error, lines):
    assert error_lines(error) == lines
