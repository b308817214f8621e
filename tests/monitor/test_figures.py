"""The figures that the pages are made of: percentiles from buckets, the bars of the chart."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from emp_server.monitor.chart import HEIGHT, WIDTH, Ended, draw, rounded_up
from emp_server.monitor.durations import percentile

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_percentile_lies_in_its_bucket():
    buckets = Counter({3: 50, 10: 45, 14: 5})  # 4 to 8 ms, 0.5 to 1 s, 8 to 16 s

    median, slowest, longest = (percentile(buckets, share) for share in (0.5, 0.95, 1))

    assert median == timedelta(milliseconds=8)
    assert slowest == timedelta(milliseconds=1024)
    assert longest == timedelta(milliseconds=2**14)


def test_there_is_no_percentile_of_nothing():
    assert percentile(Counter(), 0.5) is None


@pytest.mark.parametrize(("count", "top"), [(0, 5), (5, 5), (6, 10), (11, 20), (48, 50), (51, 100), (1001, 2000)])
def test_the_scale_ends_at_a_round_number(count, top):
    assert rounded_up(count) == top


def test_bars_fill_the_chart_and_stay_in_it():
    chart = draw([Ended(AT, count * 7, count) for count in range(60)], timedelta(minutes=1))

    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in chart.bars)
    assert all(bar.failed_y >= 0 and bar.completed_y + bar.completed_height == HEIGHT for bar in chart.bars)
    assert (chart.completed, chart.failed) == (7 * 1770, 1770)


def test_one_failure_among_thousands_is_seen():
    [bar] = draw([Ended(AT, 50_000, 1)], timedelta(minutes=1)).bars

    assert bar.failed_height >= 2
