"""A store that is away is told at once with what to do, then ever more rarely, and once when it is back."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import LogCapture

from emp_core.errors import InternalError, StoreUnavailable
from emp_core.outage import LONGEST_SILENCE, Outage

AWAY = StoreUnavailable("no answer from the store")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return LogCapture()


@pytest.fixture
def outage(clock, said):
    log = structlog.wrap_logger(None, processors=[said], wrapper_class=structlog.make_filtering_bound_logger(0))
    return Outage(log, "claim_failed", clock=clock)


def fail_for(outage, clock, seconds, every=0.5):
    """Fail so often, for so long."""
    for _ in range(int(seconds / every)):
        outage.failed(AWAY)
        clock.now += every


def test_the_first_failure_is_said_at_once_with_what_to_do(outage, said):
    outage.failed(AWAY, outcomes=3)

    [line] = said.entries
    assert (line["event"], line["error"], line["outcomes"]) == ("claim_failed", "no answer from the store", 3)
    assert "EMP_REDIS_URL" in line["hint"]


def test_another_kind_of_failure_has_no_hint_on_where_the_store_is(outage, said):
    outage.failed(InternalError("a record is damaged"))

    assert "hint" not in said.entries[0]


def test_a_failure_that_lasts_is_said_ever_more_rarely(outage, clock, said):
    fail_for(outage, clock, 60)

    assert [line["for_seconds"] for line in said.entries] == [0, 5, 15, 35]


def test_a_failure_that_lasts_for_hours_is_still_said(outage, clock, said):
    fail_for(outage, clock, 3600)
    before = len(said.entries)

    fail_for(outage, clock, LONGEST_SILENCE)

    assert len(said.entries) == before + 1


def test_its_end_is_one_line(outage, clock, said):
    fail_for(outage, clock, 4)
    outage.over()
    outage.over()

    assert [line["event"] for line in said.entries] == ["claim_failed", "store_is_back"]
    assert (said.entries[1]["after"], said.entries[1]["seconds"]) == ("claim_failed", 4)


def test_without_a_failure_nothing_is_said(outage, said):
    outage.over()

    assert said.entries == []


def test_the_next_outage_is_said_at_once_again(outage, clock, said):
    fail_for(outage, clock, 100)
    outage.over()
    said.entries.clear()

    outage.failed(AWAY)

    assert len(said.entries) == 1


def test_it_says_since_when_the_store_has_not_answered_at_all(clock, outage):
    """An answer that rejects the call is an answer, and so is a success."""
    heard = [outage.unanswered_since]
    for error in (AWAY, AWAY, StoreUnavailable("it is a replica", code="READONLY"), AWAY, InternalError("odd"), AWAY):
        clock.now += 1
        outage.failed(error)
        heard.append(outage.unanswered_since)
    outage.over()

    assert heard == [None, 1001.0, 1001.0, None, 1004.0, None, 1006.0]
    assert outage.unanswered_since is None
