"""The load of `make overload` on a real server that has room for one; when it has recovered; what a table says."""

from __future__ import annotations

import time

import pytest
from benchmarks.lines import Line, table
from benchmarks.offered import LOST, Answer, Plan, Span, offer
from benchmarks.overload import WINDOW, recovery

from emp_core.ids import JobId
from support.serving import running, stored_jobs
from support.serving_fixtures import settings, store

pytestmark = pytest.mark.process

__all__ = ["settings", "store"]

BODY = b'{"job_type":"any.thing","payload":1}'
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.anyio
async def test_what_is_shed_says_when_to_come_again_and_what_is_accepted_is_stored_once(settings, store):
    """Every request has one answer, and the store has the jobs of those that were accepted and no others."""
    spans = [Span("all at once", 0.5, connections=50), Span("on time", 0.5, rate=400)]
    with running(settings.model_copy(update={"submissions_at_once": 1})) as server:
        plan = Plan(time.monotonic() + 0.5, HEAD % len(BODY) + BODY, spans)
        answers = await offer("127.0.0.1", server.port, [plan])

    accepted = [answer for answer in answers if answer.status == 202]
    shed = [answer for answer in answers if answer.status == 503]
    assert len(accepted) + len(shed) == len(answers)
    assert sum(answer.span == "on time" for answer in answers) == 200
    assert shed
    assert all(answer.says_when for answer in shed)
    assert len({answer.job_id for answer in accepted}) == len(accepted) == await stored_jobs(store)
    assert None not in await store.views.get([JobId(answer.job_id) for answer in accepted])


@pytest.mark.anyio
async def test_a_request_that_nobody_answers_is_lost(settings, store):
    """A server that is gone is not taken for a fast one."""
    with running(settings) as server:
        gone = server.port
    plan = Plan(time.monotonic(), HEAD % len(BODY) + BODY, [Span("on time", 0.1, rate=100)])

    answers = await offer("127.0.0.1", gone, [plan])

    assert [answer.status for answer in answers] == [LOST] * 10


def answered(span: str, window: float, took: float, status: int = 202) -> Answer:
    """Give an answer of a window."""
    return Answer(span, (window + 0.5) * WINDOW, took, status)


BEFORE = [answered("before", at, 0.010) for at in range(8)]


def test_it_has_recovered_when_a_whole_second_is_as_before():
    after = [answered("after", 8, 0.5), answered("after", 9, 0.010, 503)]
    after += [answered("after", at, 0.015) for at in range(10, 16)]

    assert recovery([*BEFORE, *after]) == 2 * WINDOW


def test_it_has_not_recovered_while_no_second_is_as_before():
    after = [answered("after", at, 0.5 if at % 3 == 0 else 0.010) for at in range(8, 30)]

    assert recovery([*BEFORE, *after]) == float("inf")


def test_a_line_within_its_bounds_holds():
    assert Line("p99", 10, at_most=10).holds
    assert not Line("p99", 10.5, at_most=10).holds
    assert not Line("jobs a second", 9, at_least=10).holds
    assert Line("told", 1e9).holds


def test_a_table_has_what_was_measured_and_the_goal_and_what_misses_it():
    first, second, third = table("it", [Line("p99", 10.25, "ms", at_most=10), Line("told", 12345.6)]).splitlines()

    assert first.split() == ["it", "measured", "goal"]
    assert second.split() == ["p99,", "ms", "10.2", "<=", "10", "MISSED"]
    assert third.split() == ["told", "12,346"]
