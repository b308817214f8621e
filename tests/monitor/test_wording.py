"""Times, durations and numbers in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emp_server.monitor import wording

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.85, "850 ms"),
        (0.9996, "1.0 s"),
        (4.24, "4.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7230, "2 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds, words):
    assert wording.span(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "now"), (0.5, "now"), (12.9, "12 s ago"), (200, "3 min ago"), (-61, "in 1 min")]
)
def test_a_time_is_told_as_seen_from_now(seconds, words):
    assert wording.relative(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (200_000, "195 KiB"), (2**40 * 5000, "5000 TiB")],
)
def test_a_size_is_told_in_its_unit(size, words):
    assert wording.of_bytes(size) == words


def test_shares_and_counts_read_well():
    assert wording.percent(0.004) == "0.4\u00a0%"
    assert wording.percent(1) == "100\u00a0%"
    assert wording.plural(1, "job") == "1 job"
    assert wording.plural(1200, "job") == "1,200 jobs"
