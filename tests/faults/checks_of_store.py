"""Invariants 6 and 7: indexes, counters and keys agree with the records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from emp_core.jobs import FINAL_STATES, RUNNING_STATES, WAITING_STATES, JobState
from emp_core.store.keys import OWNERS
from faults.facts import Facts, Violation
from faults.ledger import Counted

_LIVE: Final = frozenset(JobState) - FINAL_STATES
_OF_A_JOB: Final = ("payload:", "result:", "error:", "attempts:", "log:")
_OF_A_WORKER: Final = ("worker:", "held:", "asked:", "bell:")
_RETAIN_LATE: Final = 5_000
"""Milliseconds after the end of its retention in which the janitor may still come to a job."""


def places_of(job_id: str, fields: Mapping[str, str]) -> set[str]:
    """Give the indexes in which a job must stand."""
    state, job_type = fields["state"], fields["type"]
    places = {f"tag:{tag}" for tag in fields["tags"].split("\n")} if fields.get("tags") else set()
    if state == JobState.PENDING:
        places.add(f"pending:{job_type}")
    elif state == JobState.SCHEDULED:
        places.add("scheduled")
    elif state in RUNNING_STATES:
        places |= {"running", f"held:{fields['worker']}"}
        if "cancel_at" in fields:
            places.add(f"asked:{fields['worker']}")
    else:
        places |= {f"finished:{state}", f"finished:{state}:{job_type}", "retained"}
    if "expires_at" in fields and state in WAITING_STATES:
        places.add("expiring")
    return places


def indexes_agree(facts: Facts) -> Iterator[Violation]:
    """6: every id is in exactly the indexes that its state demands, and no entry lacks its record."""
    jobs = {id_: fields for id_, fields in facts.snapshot.jobs.items() if facts.is_promised(id_)}
    wanted = {(place, job_id) for job_id, fields in jobs.items() for place in places_of(job_id, fields)}
    found = {
        (index, job_id)
        for index, members in facts.snapshot.indexes.items()
        for job_id in members
        if facts.is_promised(job_id)
    }
    for place, job_id in sorted(wanted - found):
        yield Violation(6, job_id, f"is missing in {place}")
    for place, job_id in sorted(found - wanted):
        yield Violation(6, job_id, f"is a stray in {place}")
    for entry in map(json.loads, facts.snapshot.broken):
        if facts.is_promised(entry["id"]):
            yield Violation(6, entry["id"], f"was set aside: {entry['index'].rpartition('}:')[2]}, {entry['why']}")


def counters_agree(facts: Facts) -> Iterator[Violation]:
    """6: the counters of live states equal a recount, and totals never shrink."""
    jobs = facts.snapshot.jobs.items()
    recount = Counter(
        f"{fields['state']}:{fields['type']}"
        for job_id, fields in jobs
        if facts.is_promised(job_id) and fields["state"] in _LIVE
    )
    unsure = len(facts.history.damaged)
    for name, number in facts.snapshot.counts.items():
        if name.partition(":")[0] in _LIVE and not 0 <= number - recount[name] <= unsure:
            yield Violation(6, name, f"the counter says {number}, a recount {recount[name]}")
    for name in recount.keys() - facts.snapshot.counts.keys():
        yield Violation(6, name, f"there is no counter, and a recount gives {recount[name]}")
    for change in facts.snapshot.changes:
        if isinstance(change, Counted) and change.by < 0 and change.name.partition(":")[0] not in _LIVE:
            yield Violation(6, change.name, f"a total shrank by {-change.by}")


def keys_have_owners(facts: Facts) -> Iterator[Violation]:
    """7: every key has an owner that lives or a time to live; a job whose retention is over is gone."""
    snapshot = facts.snapshot
    for name, lifetime in snapshot.lifetimes.items():
        kind, _, subject = name.partition(":")
        if f"{kind}:" not in OWNERS and name not in OWNERS:
            yield Violation(7, name, "is a key that is not in the table of owners")
        elif lifetime is None and name.startswith(_OF_A_JOB) and subject not in snapshot.jobs:
            if facts.is_promised(subject):
                yield Violation(7, name, "is a key of a job that is not there")
        elif lifetime is None and name.startswith(_OF_A_WORKER) and subject not in snapshot.workers:
            yield Violation(7, name, "is a key of a worker that is not there")
    for worker_id in sorted(snapshot.workers.keys() - snapshot.registered):
        yield Violation(7, worker_id, "has a lease and was never registered")
    for job_id, fields in snapshot.jobs.items():
        if fields.get("state") in FINAL_STATES and "retention" in fields and facts.is_promised(job_id):
            late = snapshot.taken_at - int(fields["finished_at"]) - int(fields["retention"])
            if late > _RETAIN_LATE:
                yield Violation(7, job_id, f"is kept {late} ms beyond its retention")
