"""The durations and moments that options take."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from emp_core.cli.durations import DURATION, MOMENT
from emp_core.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("0", 0), ("500ms", 0.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "5w", "m", "1h30m", "nan", "inf", "1e3", "5 m", "\u0665"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not a duration"):
        DURATION.convert(text, None, None)


def test_a_moment_keeps_its_offset():
    assert MOMENT.convert("2027-01-31T18:30:00Z", None, None) == datetime(2027, 1, 31, 18, 30, tzinfo=UTC)


def test_a_moment_without_an_offset_is_local_time():
    naive = datetime(2027, 1, 31, 18, 30)  # noqa: DTZ001 - what somebody typed

    assert MOMENT.convert("2027-01-31T18:30", None, None) == naive.astimezone()


@pytest.mark.parametrize("text", ["", "tomorrow", "18:30", "2027-02-30", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(click.BadParameter, match="is not a moment"):
        MOMENT.convert(text, None, None)
