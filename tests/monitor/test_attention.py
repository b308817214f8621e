"""What the overview calls to attention, and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from emp_core.ids import WorkerId, new_job_id, new_worker_id
from emp_core.jobs import Announcement, Trouble, TroubleWord, WorkerInfo
from emp_server.catalog import KnownType
from emp_server.monitor.attention import Level, findings
from emp_server.monitor.type_rows import TypeRow

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(minutes=30)
SERVED = KnownType([Announcement("a.type", "d", "dist", "1")], workers_online=1, paused=False)
ROW = TypeRow(
    "a.type",
    SERVED,
    pending=0,
    scheduled=0,
    running=0,
    oldest_pending=None,
    completed=0,
    failed=0,
    median=None,
    slowest=None,
)


def worker(**fields: Any) -> WorkerInfo:
    """Give a worker that does well, but for some fields."""
    usual: dict[str, Any] = {
        "worker_id": WorkerId(new_worker_id()), "name": "w1", "status": "idle", "host": "h", "pid": 1, "version": "1",
        "slots": 2, "started_at": NOW, "renewed_at": NOW, "lease_until": NOW, "types": {"a.type": "d"},
    }  # fmt: skip
    return WorkerInfo(**usual | fields)


def told(rows=(ROW,), workers=None, gone=()):
    """Give the findings as (level, what, why)."""
    found = findings(rows, [worker()] if workers is None else workers, gone, NOW)
    return [(finding.level, finding.what, finding.why) for finding in found]


def test_where_all_is_well_nothing_is_found():
    assert told() == []


def test_jobs_without_a_worker_stand_still():
    [(level, what, why)] = told([replace(ROW, known=None, pending=3, oldest_pending=NOW)])

    assert (level, what) == (Level.BAD, "a.type: no worker")
    assert "3 jobs waiting" in why


def test_jobs_that_were_set_aside_are_a_bad_finding():
    [finding] = findings([ROW], [worker()], [], NOW, set_aside=2)

    assert (finding.level, finding.what) == (Level.BAD, "2 jobs set aside")
    assert "emp doctor" in finding.why


def test_no_worker_at_all_is_not_the_same_as_too_few():
    waiting = replace(ROW, pending=3, oldest_pending=LONG_AGO)

    nobody = replace(waiting, known=replace(SERVED, workers_online=0))

    assert [what for _, what, _ in told([nobody], workers=[])] == ["No worker is online", "a.type: no worker"]
    assert [what for _, what, _ in told([waiting])] == ["a.type: overloaded"]


def test_an_overloaded_type_says_whether_slots_are_free():
    waiting = [replace(ROW, pending=3, oldest_pending=LONG_AGO)]

    [(_, _, busy)] = told(waiting, [worker(status="busy", held=2)])
    [(_, _, idle)] = told(waiting, [worker()])

    assert "every slot is taken" in busy
    assert "2 slots free" in idle


def test_a_paused_type_is_only_named_while_jobs_wait():
    paused = replace(ROW, known=replace(SERVED, paused=True))

    assert told([paused]) == []
    assert [what for _, what, _ in told([replace(paused, pending=1, oldest_pending=LONG_AGO)])] == ["a.type: paused"]


@pytest.mark.parametrize(("completed", "failed", "is_named"), [(1000, 50, False), (10, 4, False), (10, 5, True)])
def test_failures_are_named_when_they_are_many_and_a_good_part(completed, failed, is_named):
    assert bool(told([replace(ROW, completed=completed, failed=failed)])) is is_named


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"status": "lost"}, "w1: lost"),
        ({"loop_lag": 2.0}, "w1: event loop blocked"),
        ({"troubles": (Trouble(new_job_id(), "a.type", TroubleWord.IGNORES_END, 9.0),)}, "a.type on w1"),
        ({"plugins": ({"distribution": "emp-plugin-x", "state": "failed"},)}, "w1: plugins failed"),
    ],
    ids=["lost", "lag", "trouble", "plugin"],
)
def test_a_worker_in_trouble_is_named(fields, what):
    assert what in [each for _, each, _ in told(workers=[worker(), worker(**fields)])]


def test_a_plugin_that_somebody_disabled_is_no_trouble():
    assert told(workers=[worker(plugins=({"distribution": "emp-plugin-x", "state": "disabled"},))]) == []


def test_a_worker_that_was_lost_within_the_hour_is_named_with_its_reason():
    recent = worker(status="lost", reason="killed by SIGKILL")

    [(_, _, why)] = told(gone=[recent])
    assert "killed by SIGKILL" in why
    assert told(gone=[replace(recent, renewed_at=NOW - timedelta(hours=2)), worker(status="left")]) == []


def test_what_stands_still_comes_first():
    rows = [replace(ROW, failed=9), replace(ROW, name="b.type", known=None, pending=1)]

    assert [level for level, _, _ in told(rows)] == [Level.BAD, Level.WARN]
