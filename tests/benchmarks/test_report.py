"""What was measured is written as tables that say all of it."""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.figures import Figure
from benchmarks.goals import AtLeast, AtMost, Goal, judge
from benchmarks.machine import Machine
from benchmarks.report import contestants_table, goals_table, results_page, table

FAST = Contestant("emp", "EMP", "defaults", ("emp", "worker"), {})
SLOW = Contestant("saq", "SAQ", "concurrency 100", ("saq", "x"), {}, requires=("saq==1.0",))
BOTH = {"saq": SLOW, "emp": FAST}
ROUNDS = [{Figure("emp", "drain"): 12_000.0, Figure("saq", "drain"): 1_000.0}]
MACHINE = Machine("Some CPU", 2, 8, "Linux 6", "3.11", "", "valkey 9", "2026-11-01", 0.5)


def test_a_tables_columns_line_up():
    assert table(("a", "long"), [("1", "2"), ("333", "4")]).splitlines() == [
        "| a   | long |",
        "| --- | ---- |",
        "| 1   | 2    |",
        "| 333 | 4    |",
    ]


def test_the_goals_table_shows_bound_value_and_verdict():
    goal = Goal("x", "drain: x SAQ", (AtLeast(Figure("emp", "drain"), 10, Figure("saq", "drain")),))

    last = goals_table([judge(goal, ROUNDS, {})]).splitlines()[-1]

    assert [cell.strip() for cell in last.strip("|").split("|")] == ["drain: x SAQ", ">= 10", "12.00", "holds"]


def test_what_was_not_measured_is_a_dash():
    goal = Goal("x", "idle", (AtMost(Figure("emp", "idle_commands"), 2),))

    last = goals_table([judge(goal, ROUNDS, {})]).splitlines()[-1]

    assert [cell.strip() for cell in last.strip("|").split("|")] == ["idle", "<= 2", "-", "not measured"]


def test_the_fastest_comes_first():
    rows = contestants_table(ROUNDS, BOTH).splitlines()[2:]

    assert [row.split("|")[1].strip() for row in rows] == ["EMP", "SAQ"]


def test_the_page_names_versions_settings_and_what_is_missing():
    page = results_page(ROUNDS, [], BOTH, MACHINE, {"bullmq": "no Node here\nand more"})

    assert "saq==1.0" in page
    assert "concurrency 100" in page
    assert "- bullmq: no Node here\n" in page
    assert "Some CPU" in page
