"""What rounds measured becomes medians, and medians of ratios within a round."""

from __future__ import annotations

import pytest
from benchmarks.figures import Figure, median, percentile, ratio, spread

EMP, SAQ = Figure("emp", "drain"), Figure("saq", "drain")


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_the_smallest_value_that_so_many_percent_do_not_exceed(percent, value):
    values = list(range(100, 0, -1))

    assert percentile(values, percent) == value


def test_a_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_median_is_taken_over_the_rounds_that_have_the_figure():
    rounds = [{EMP: 3.0}, {SAQ: 9.0}, {EMP: 1.0}, {EMP: 2.0}]

    assert median(rounds, EMP) == 2.0


def test_a_figure_that_no_round_has_has_no_median():
    assert median([{SAQ: 1.0}], EMP) is None


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_quotient_of_medians():
    rounds = [{EMP: 10.0, SAQ: 1.0}, {EMP: 40.0, SAQ: 2.0}, {EMP: 6.0, SAQ: 3.0}]

    assert ratio(rounds, EMP, SAQ) == 10.0
    assert median(rounds, EMP) / median(rounds, SAQ) == 5.0


def test_a_round_that_lacks_one_side_has_no_part_in_the_ratio():
    rounds = [{EMP: 10.0, SAQ: 1.0}, {EMP: 1000.0}, {SAQ: 1000.0}]

    assert ratio(rounds, EMP, SAQ) == 10.0


@pytest.mark.parametrize("rounds", [[{EMP: 1.0}], [{EMP: 1.0, SAQ: 0.0}], []], ids=["one side", "nothing", "no round"])
def test_there_is_no_ratio_to_what_was_not_measured(rounds):
    assert ratio(rounds, EMP, SAQ) is None


def test_the_spread_is_the_distance_of_the_rounds_in_medians():
    rounds = [{EMP: 9.0}, {EMP: 10.0}, {EMP: 12.0}]

    assert spread(rounds, EMP) == pytest.approx(0.3)


def test_one_round_has_no_spread():
    assert spread([{EMP: 9.0}], EMP) is None
