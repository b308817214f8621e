"""The checker finds each invariant broken in a written history, and nothing in a sound one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from faults.checker import check
from faults.history import Answered, History, Probe, Sent, Took, history_of
from faults.journal import Entry, Journal, journal_of
from faults.ledger import Change, Counted, Kept, Wrote
from faults.snapshot import Snapshot

JOB, OTHER = "01hzzzzzzzzzzzzzzzzzzzzz00", "01hyyyyyyyyyyyyyyyyyyyyy00"
WORKER = "01hxxxxxxxxxxxxxxxxxxxxxxx"
PAYLOAD, RESULT = '{"key": "a.1"}', b'{"key":"a.1","attempt":1}'
DIGEST = hashlib.sha256(RESULT).hexdigest()
RECORD = {
    "type": "faults.async",
    "state": "completed",
    "priority": "0",
    "no": "1",
    "attempt": "1",
    "max_attempts": "3",
    "created_at": "1000",
    "claimed_at": "1010",
    "finished_at": "1020",
    "worker": WORKER,
    "token": "1-abc",
}
CHANGES: tuple[Change, ...] = (
    Wrote(1, JOB, {"state": "pending", "created_at": "1000"}),
    Kept(1, JOB, "payload"),
    Counted(1, "pending:faults.async", 1),
    Wrote(2, JOB, {"state": "claimed", "token": "1-abc", "claimed_at": "1010"}),
    Wrote(3, JOB, {"state": "in_progress"}),
    Wrote(4, JOB, {"state": "completed"}),
    Kept(4, JOB, "result"),
    Counted(4, "completed:faults.async", 1),
)
SUBMITTED = (Sent(0, "submit", "a.1", PAYLOAD, 1.0), Answered(0, 202, JOB, "", 1.1))
HISTORY = history_of((*SUBMITTED, Probe(JOB, 0.1, 0.0)))
BEGUN = Entry("begun", JOB, 1, WORKER, 7, 1.2)
ENDED = Entry("ended", JOB, 1, WORKER, 7, 1.3, DIGEST)
JOURNAL = journal_of((BEGUN, ENDED))
SNAPSHOT = Snapshot(
    jobs={JOB: RECORD},
    payloads={JOB: PAYLOAD.encode()},
    results={JOB: RESULT},
    indexes={
        "finished:completed": frozenset({JOB}),
        "finished:completed:faults.async": frozenset({JOB}),
        "retained": frozenset({JOB}),
    },
    workers={WORKER: 20_000.0},
    registered=frozenset({WORKER}),
    counts={"pending:faults.async": 0, "completed:faults.async": 1},
    lifetimes={f"job:{JOB}": None, f"payload:{JOB}": 5000, f"worker:{WORKER}": None, "counts": None},
    changes=CHANGES,
    taken_at=2000,
)


def record(**fields: str) -> Snapshot:
    """Give the sound snapshot with other fields in the job's record."""
    return replace(SNAPSHOT, jobs={JOB: {**RECORD, **fields}})


def more(*changes: Change) -> Snapshot:
    """Give the sound snapshot with more changes at its end."""
    return replace(SNAPSHOT, changes=(*CHANGES, *changes))


def indexed(**indexes: Any) -> Snapshot:
    """Give the sound snapshot with more indexes."""
    return replace(SNAPSHOT, indexes={**SNAPSHOT.indexes, **indexes})


def told(*lines: Any) -> History:
    """Give the sound history with more lines."""
    return history_of((*SUBMITTED, *lines))


def test_nothing_is_found_in_a_sound_run() -> None:
    """A job that was submitted, claimed, begun and completed once."""
    assert check(HISTORY, JOURNAL, SNAPSHOT) == []


def test_a_call_without_an_answer_is_unknown() -> None:
    """No job need be there for it, and one may be."""
    lost = Sent(1, "submit", "a.2", '{"key": "a.2"}', 2.0)

    assert check(told(lost), JOURNAL, SNAPSHOT) == []
    assert check(history_of(SUBMITTED[:1]), JOURNAL, SNAPSHOT) == []


TWICE = Entry("begun", JOB, 2, WORKER, 7, 1.25)
STALE = Entry("ended", JOB, 1, "01hwwwwwwwwwwwwwwwwwwwwwww", 8, 1.3, DIGEST)

BROKEN: dict[str, tuple[int, History, Journal, Snapshot]] = {
    "an acknowledged job is not there": (1, HISTORY, JOURNAL, Snapshot()),
    "a job never ends": (1, HISTORY, JOURNAL, record(state="pending")),
    "one submission made two jobs": (
        1,
        HISTORY,
        JOURNAL,
        replace(SNAPSHOT, payloads={JOB: PAYLOAD.encode(), OTHER: PAYLOAD.encode()}),
    ),
    "a repeat was answered with another job": (
        1,
        told(Sent(1, "submit", "a.1", PAYLOAD, 2.0), Answered(1, 202, OTHER, "", 2.1)),
        JOURNAL,
        SNAPSHOT,
    ),
    "a final job changes": (2, HISTORY, JOURNAL, more(Wrote(5, JOB, {"progress": "0.5"}))),
    "a result is written twice": (2, HISTORY, JOURNAL, more(Kept(5, JOB, "result"))),
    "a final job is claimed again": (3, HISTORY, JOURNAL, more(Wrote(5, JOB, {"state": "claimed", "token": "2-x"}))),
    "a token does not rise": (
        3,
        HISTORY,
        JOURNAL,
        replace(
            SNAPSHOT,
            changes=(
                *CHANGES[:4],
                Wrote(3, JOB, {"state": "pending"}),
                Wrote(4, JOB, {"state": "claimed", "token": "1-xyz", "claimed_at": "1015"}),
                Wrote(5, JOB, {"state": "completed"}),
            ),
        ),
    ),
    "a stale result is stored": (3, HISTORY, journal_of((BEGUN, STALE)), SNAPSHOT),
    "a job is begun too often": (4, HISTORY, journal_of((BEGUN, TWICE, TWICE, TWICE, ENDED)), SNAPSHOT),
    "a job of one attempt is begun twice": (
        4,
        history_of((Sent(0, "submit", "a.1", PAYLOAD, 1.0, 1), SUBMITTED[1])),
        journal_of((BEGUN, TWICE, ENDED)),
        record(releases="1"),
    ),
    "a job is poisoned that was begun once": (4, HISTORY, JOURNAL, record(state="failed", reason="poisoned")),
    "a job is claimed before it is due": (
        4,
        HISTORY,
        JOURNAL,
        replace(SNAPSHOT, changes=(Wrote(0, JOB, {"run_at": "1500"}), *CHANGES)),
    ),
    "a job is claimed after its expiry": (
        4,
        HISTORY,
        JOURNAL,
        replace(SNAPSHOT, changes=(Wrote(0, JOB, {"expires_at": "1005"}), *CHANGES)),
    ),
    "a job begins after it was called off": (
        4,
        told(Sent(1, "cancel", JOB, "", 1.12), Answered(1, 200, JOB, "", 1.15)),
        JOURNAL,
        SNAPSHOT,
    ),
    "a payload is another": (5, HISTORY, JOURNAL, replace(SNAPSHOT, payloads={JOB: b'{"key":"a.1"}'})),
    "a result is nobody's": (5, HISTORY, journal_of((BEGUN, Entry("ended", JOB, 1, WORKER, 7, 1.3))), SNAPSHOT),
    "a payload is read otherwise than stored": (
        5,
        told(Sent(1, "payload", JOB, "", 2.0), Answered(1, 200, JOB, "{}", 2.1)),
        JOURNAL,
        SNAPSHOT,
    ),
    "an id is missing in an index": (6, HISTORY, JOURNAL, indexed(retained=frozenset())),
    "an id is a stray in an index": (6, HISTORY, JOURNAL, indexed(**{f"held:{WORKER}": frozenset({JOB})})),
    "an entry has no record": (6, HISTORY, JOURNAL, indexed(scheduled=frozenset({OTHER}))),
    "a sound job is set aside": (
        6,
        HISTORY,
        JOURNAL,
        replace(SNAPSHOT, broken=(b'{"id":"%s","index":"t:scheduled","why":"x"}' % JOB.encode(),)),
    ),
    "a counter is not decremented": (
        6,
        HISTORY,
        JOURNAL,
        replace(SNAPSHOT, counts={"pending:faults.async": 1, "completed:faults.async": 1}),
    ),
    "a total shrinks": (6, HISTORY, JOURNAL, more(Counted(5, "completed:faults.async", -1))),
    "a key has no owner": (7, HISTORY, JOURNAL, replace(SNAPSHOT, lifetimes={"stray": None})),
    "a key of a job stays behind": (7, HISTORY, JOURNAL, replace(SNAPSHOT, lifetimes={f"log:{OTHER}": None})),
    "a key of a worker stays behind": (7, HISTORY, JOURNAL, replace(SNAPSHOT, lifetimes={f"bell:{OTHER}": None})),
    "a worker has a lease without a registration": (7, HISTORY, JOURNAL, replace(SNAPSHOT, registered=frozenset())),
    "a job is kept too long": (7, HISTORY, JOURNAL, replace(record(retention="100"), taken_at=60_000)),
    "a job waits too long": (8, HISTORY, JOURNAL, record(claimed_at="1200")),
    "a recovery takes too long": (8, told(Took("recovery", 1.5, 1.0)), JOURNAL, SNAPSHOT),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_invariant_is_found(how: str) -> None:
    """Each way to break one is named by its number."""
    invariant, history, journal, snapshot = BROKEN[how]

    assert invariant in {violation.invariant for violation in check(history, journal, snapshot)}
