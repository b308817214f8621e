"""What a job is: the state machine as data, and backoff."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_core.jobs import FINAL_STATES, RUNNING_STATES, TRANSITIONS, WAITING_STATES, Backoff, JobState

TWO_SECONDS = timedelta(seconds=2)


def test_every_state_is_waiting_running_or_final() -> None:
    """And in one of the three only."""
    assert sorted([*WAITING_STATES, *RUNNING_STATES, *FINAL_STATES]) == sorted(JobState)


def test_every_state_is_reached_from_submission() -> None:
    """No state is only on paper."""
    targets = defaultdict(set)
    for move in TRANSITIONS:
        targets[move.source].add(move.target)
    reached, frontier = set(), {None}
    while frontier:
        reached |= frontier
        frontier = {target for source in frontier for target in targets[source]} - reached

    assert reached == {None, *JobState}


def test_only_revive_and_retain_leave_a_final_state() -> None:
    """A result, once there, never changes."""
    assert {move.verb for move in TRANSITIONS if move.source in FINAL_STATES} == {"revive", "retain"}


def test_no_move_stands_twice() -> None:
    """The chart is made from the table."""
    assert len(set(TRANSITIONS)) == len(TRANSITIONS)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (1000, 300)])
def test_backoff_doubles_up_to_its_cap(attempt: int, seconds: int) -> None:
    """2 s, 4 s, 8 s ... 5 min."""
    assert Backoff().delay(attempt, 0.5) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("unit", "seconds"), [(0.0, 1.6), (0.5, 2.0), (1.0, 2.4)])
def test_jitter_spreads_the_delay_both_ways(unit: float, seconds: float) -> None:
    """Jobs that failed together are not tried together."""
    assert Backoff().delay(1, unit) == timedelta(seconds=seconds)


def test_a_constant_backoff_stays() -> None:
    """A factor of 1 and no jitter."""
    backoff = Backoff(base=TWO_SECONDS, factor=1.0, jitter=0.0)

    assert {backoff.delay(attempt, 0.9) for attempt in range(1, 50)} == {TWO_SECONDS}


@given(
    attempt=st.integers(1, 1000),
    unit=st.floats(0, 1),
    factor=st.floats(1, 1e6),
    base=st.floats(0, 1e6),
    cap=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)
def test_a_delay_is_never_negative_nor_far_beyond_the_cap(
    attempt: int, unit: float, factor: float, base: float, cap: float, jitter: float
) -> None:
    """Whatever a job type asks for, the arithmetic holds."""
    delay = Backoff(timedelta(seconds=base), factor, timedelta(seconds=cap), jitter).delay(attempt, unit)

    assert timedelta(0) <= delay <= timedelta(seconds=cap) * (1 + jitter) + timedelta(microseconds=2)
