"""A goal is compared with what was measured, and the exit code follows from all of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from benchmarks.figures import Figure
from benchmarks.goals import (
    EXIT_GAP,
    EXIT_HOLDS,
    EXIT_MISSED,
    GOALS,
    AtLeast,
    AtMost,
    Goal,
    Judged,
    Verdict,
    exit_code,
    judge,
)

EMP, SAQ, TWO = Figure("emp", "drain"), Figure("saq", "drain"), Figure("emp", "busy")
TEN_TIMES = Goal("ten", "ten times SAQ", (AtLeast(EMP, 10, SAQ),))
EITHER = Goal("either", "fast or busy", (AtLeast(EMP, 100), AtLeast(TWO, 0.95)))


def test_a_ratio_at_its_bound_holds():
    judged = judge(TEN_TIMES, [{EMP: 20.0, SAQ: 2.0}], {})

    assert (judged.verdict, judged.reached) == (Verdict.HOLDS, (10.0,))


def test_a_ratio_below_its_bound_is_missed():
    assert judge(TEN_TIMES, [{EMP: 19.9, SAQ: 2.0}], {}).verdict is Verdict.MISSED


def test_a_miss_that_is_explained_is_a_gap():
    assert judge(TEN_TIMES, [{EMP: 1.0, SAQ: 2.0}], {"ten": "because"}).verdict is Verdict.GAP


def test_a_goal_that_is_reached_holds_although_a_gap_is_explained():
    assert judge(TEN_TIMES, [{EMP: 20.0, SAQ: 2.0}], {"ten": "because"}).verdict is Verdict.HOLDS


def test_what_one_side_lacks_is_not_measured():
    judged = judge(TEN_TIMES, [{EMP: 20.0}], {})

    assert (judged.verdict, judged.reached) == (Verdict.UNKNOWN, (None,))


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.0, Verdict.HOLDS), (2.01, Verdict.MISSED)], ids=["at the bound", "above it"]
)
def test_a_cost_must_not_be_above_its_bound(value, verdict):
    goal = Goal("idle", "commands", (AtMost(EMP, 2.0),))

    assert judge(goal, [{EMP: value}], {}).verdict is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({EMP: 100.0, TWO: 0.1}, Verdict.HOLDS),
        ({EMP: 1.0, TWO: 0.95}, Verdict.HOLDS),
        ({TWO: 0.95}, Verdict.HOLDS),
        ({EMP: 1.0, TWO: 0.1}, Verdict.MISSED),
        ({EMP: 1.0}, Verdict.MISSED),
    ],
    ids=["the first", "the second", "only the second known", "neither", "one missed, one unknown"],
)
def test_a_goal_of_two_rules_holds_by_either(found, verdict):
    assert judge(EITHER, [found], {}).verdict is verdict


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((Verdict.HOLDS, Verdict.HOLDS), EXIT_HOLDS),
        ((Verdict.HOLDS, Verdict.UNKNOWN), EXIT_HOLDS),
        ((Verdict.HOLDS, Verdict.GAP), EXIT_GAP),
        ((Verdict.GAP, Verdict.UNKNOWN), EXIT_GAP),
        ((Verdict.GAP, Verdict.MISSED), EXIT_MISSED),
        ((Verdict.HOLDS, Verdict.MISSED), EXIT_MISSED),
        ((Verdict.UNKNOWN, Verdict.UNKNOWN), EXIT_MISSED),
    ],
    ids=["all hold", "one unknown", "a gap", "a gap and unknown", "a gap and a miss", "a miss", "nothing measured"],
)
def test_the_exit_code_says_the_worst(verdicts, code):
    assert exit_code([Judged(TEN_TIMES, (None,), verdict) for verdict in verdicts]) == code


def test_the_codes_are_those_that_the_makefile_promises():
    assert (EXIT_HOLDS, EXIT_MISSED, EXIT_GAP) == (0, 1, 2)


def test_every_goal_has_a_name_of_its_own():
    assert len({goal.name for goal in GOALS}) == len(GOALS)


def test_every_gap_explains_a_goal_that_there_is():
    gaps = tomllib.loads((Path(__file__).parents[2] / "benchmarks" / "gaps.toml").read_text("utf-8"))

    assert gaps.keys() <= {goal.name for goal in GOALS}
    assert all(len(reason) > 40 for reason in gaps.values())
