"""What crashes starts again, soon at first and later each time that it does not last."""

from __future__ import annotations

import pytest

from emp_core.cli.restarts import LASTING, PAUSE_FIRST, PAUSE_LAST, Restarts


@pytest.fixture
def restarts():
    return Restarts()


def test_a_part_is_due_once_its_pause_is_over(restarts):
    restarts.ended("worker", 100)

    assert restarts.due(100 + PAUSE_FIRST / 2) == []
    assert restarts.due(100 + PAUSE_FIRST) == ["worker"]
    assert restarts.due(200) == []


def test_each_pause_is_twice_as_long_up_to_a_bound(restarts):
    pauses = [restarts.ended("worker", 100) for _ in range(9)]

    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == PAUSE_LAST


def test_a_part_that_lasted_begins_with_a_short_pause_again(restarts):
    restarts.ended("worker", 100)
    restarts.ended("worker", 101)
    restarts.due(110)

    assert restarts.ended("worker", 110 + LASTING) == PAUSE_FIRST


def test_one_parts_pause_is_not_anothers(restarts):
    restarts.ended("worker", 100)

    assert restarts.ended("server", 100) == PAUSE_FIRST


def test_who_waits_is_known_until_it_is_due(restarts):
    restarts.ended("store", 100)

    assert restarts.is_waiting("store")
    assert not restarts.is_waiting("worker")
    restarts.due(101)
    assert not restarts.is_waiting("store")


def test_forgotten_parts_are_not_due(restarts):
    restarts.ended("worker", 100)

    restarts.forget()

    assert restarts.due(1000) == []
