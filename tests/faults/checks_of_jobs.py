"""Invariants 1 to 5 and 8: what is promised of each job."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from emp_core.jobs import FINAL_STATES, LOSSES_UNTIL_POISONED, TRANSITIONS, JobState, Reason
from faults.facts import Facts, Violation
from faults.history import STORED
from faults.ledger import Deleted, Wrote

MOVES: Final = frozenset((each.source, each.target) for each in TRANSITIONS) | {
    # complete of a job that is still claimed makes start's move in the same script, without writing that state
    (JobState.CLAIMED, JobState.COMPLETED)
}


def one_final_state(facts: Facts) -> Iterator[Violation]:
    """1: after things have settled every acknowledged submission is in one final state, and is one job."""
    for job_id in facts.acknowledged:
        if job_id not in facts.snapshot.jobs and not _was_retained(facts, job_id):
            yield Violation(1, job_id, "was acknowledged, and there is no such job")
    for job_id, fields in facts.snapshot.jobs.items():
        if facts.is_promised(job_id) and fields.get("state") not in FINAL_STATES:
            yield Violation(1, job_id, f"has not ended, it is {fields.get('state')}")
    yield from _one_job_per_submission(facts)


def _was_retained(facts: Facts, job_id: str) -> bool:
    life = facts.lives.get(job_id, ())
    states = [change.fields["state"] for change in life if isinstance(change, Wrote) and "state" in change.fields]
    return bool(states) and states[-1] in FINAL_STATES and isinstance(life[-1], Deleted)


def _one_job_per_submission(facts: Facts) -> Iterator[Violation]:
    """Look for submissions (one idempotency key, one payload that no other has) that made two jobs."""
    by_payload: dict[bytes, set[str]] = defaultdict(set)
    for job_id, payload in facts.snapshot.payloads.items():
        by_payload[payload].add(job_id)
    made: dict[str, set[str]] = defaultdict(set)
    for call in facts.history.calls:
        if call.verb == "submit" and facts.history.counts(call):
            made[call.subject] |= by_payload[call.body.encode()]
            if call.status in STORED:
                made[call.subject].add(call.job_id)
    for key, job_ids in made.items():
        if len(job_ids) > 1:
            yield Violation(1, key, f"was submitted once and made {len(job_ids)} jobs: {' '.join(sorted(job_ids))}")


def final_is_final(facts: Facts) -> Iterator[Violation]:
    """2: one final event per job and round, and nothing of the job changes after it."""
    for job_id, life in facts.lives.items():
        ended_in: int | None = None
        for change in life:
            fields = change.fields if isinstance(change, Wrote) else {}
            if ended_in is not None and change.transaction != ended_in and not isinstance(change, Deleted):
                if "round" in fields:
                    ended_in = None
                elif facts.is_promised(job_id):
                    yield Violation(2, job_id, f"changed after its end: {change}")
            if fields.get("state") in FINAL_STATES:
                ended_in = change.transaction


def only_legal_moves(facts: Facts) -> Iterator[Violation]:
    """3: only legal moves, each claim under a higher token, and the result is of the attempt that held the job."""
    for job_id, life in facts.lives.items():
        state, serial = None, 0
        for change in life:
            if not isinstance(change, Wrote) or "state" not in change.fields or not facts.is_promised(job_id):
                continue
            before, state = state, JobState(change.fields["state"])
            if (before, state) not in MOVES:
                yield Violation(3, job_id, f"went from {before} to {state}")
            if state is JobState.CLAIMED:
                last, serial = serial, int(change.fields.get("token", "0").partition("-")[0])
                if serial <= last:
                    yield Violation(3, job_id, f"was claimed under token {serial} after token {last}")
    yield from _results_are_of_the_holder(facts)


def _results_are_of_the_holder(facts: Facts) -> Iterator[Violation]:
    for job_id, fields, result in _results(facts):
        digest = hashlib.sha256(result).hexdigest()
        makers = {(each.worker_id, each.attempt) for each in facts.journal.ended(job_id) if each.digest == digest}
        holder = (fields.get("worker", ""), int(fields.get("attempt", 0)))
        if makers and holder not in makers:
            yield Violation(3, job_id, f"belongs to {holder}, and its result to {sorted(makers)}")


def _results(facts: Facts) -> Iterator[tuple[str, Mapping[str, str], bytes]]:
    for job_id, fields in facts.snapshot.jobs.items():
        result = facts.snapshot.results.get(job_id)
        if fields.get("state") == JobState.COMPLETED and result is not None and facts.journal.begun(job_id):
            yield job_id, fields, result


def starts_are_bounded(facts: Facts) -> Iterator[Violation]:
    """4: no more starts than attempts and releases, none after a cancel, no poison without starts, claims in time."""
    for job_id, call in facts.acknowledged.items():
        fields = facts.snapshot.jobs.get(job_id, {})
        begun = facts.journal.begun(job_id)
        given_back = int(fields.get("releases", 0)) + int(fields.get("refusals", 0))
        allowed = 1 if call.max_attempts == 1 else call.max_attempts + given_back
        if len(begun) > allowed * int(fields.get("round", 1)):
            yield Violation(4, job_id, f"was begun {len(begun)} times, and {allowed} were allowed")
        if fields.get("reason") == Reason.POISONED and len(begun) < LOSSES_UNTIL_POISONED:
            yield Violation(4, job_id, f"is poisoned, and was begun {len(begun)} times")
    yield from _claims_are_in_time(facts)
    for call in facts.history.calls:
        if call.verb == "cancel" and call.status == 200 and call.answered_at is not None:
            late = [entry for entry in facts.journal.begun(call.subject) if entry.at > call.answered_at]
            if late:
                yield Violation(4, call.subject, f"was begun {len(late)} times after it was called off")


def _claims_are_in_time(facts: Facts) -> Iterator[Violation]:
    for job_id, life in facts.lives.items():
        if not facts.is_promised(job_id):
            continue
        run_at, expires_at = 0, None
        for change in life:
            if not isinstance(change, Wrote):
                continue
            fields = change.fields
            run_at = int(fields.get("run_at", run_at))
            expires_at = int(fields["expires_at"]) if "expires_at" in fields else expires_at
            if fields.get("state") == JobState.CLAIMED:
                claimed_at = int(fields.get("claimed_at", run_at))
                if claimed_at < run_at:
                    yield Violation(4, job_id, f"was claimed {run_at - claimed_at} ms before it was due")
                if expires_at is not None and claimed_at >= expires_at:
                    yield Violation(4, job_id, f"was claimed {claimed_at - expires_at} ms after its expiry")
                expires_at = None  # it bounds the wait for the first claim


def bytes_are_kept(facts: Facts) -> Iterator[Violation]:
    """5: payload and result come out byte for byte as they went in."""
    payloads, results = facts.snapshot.payloads, facts.snapshot.results
    for job_id, call in facts.acknowledged.items():
        if job_id in payloads and payloads[job_id] != call.body.encode():
            yield Violation(5, job_id, "holds another payload than was sent")
    for job_id, _, result in _results(facts):
        if hashlib.sha256(result).hexdigest() not in {entry.digest for entry in facts.journal.ended(job_id)}:
            yield Violation(5, job_id, "holds a result that no handler returned")
    for call in facts.history.calls:
        stored = {"payload": payloads, "result": results}.get(call.verb, {}).get(call.subject)
        if call.status == 200 and stored is not None and call.answer.encode() != stored:
            yield Violation(5, call.subject, f"gave another {call.verb} over HTTP than is stored")


def waits_are_bounded(facts: Facts) -> Iterator[Violation]:
    """8: while a worker with a free slot lives, no job waits longer than its bound; lost jobs are back in time."""
    for took in facts.history.took:
        if took.seconds > took.bound + took.lag:
            yield Violation(
                8, took.what, f"took {took.seconds:.3f} s; allowed {took.bound:g} s and a lag of {took.lag:.3f} s"
            )
    for probe in facts.history.probes:
        fields = facts.snapshot.jobs.get(probe.job_id, {})
        if "claimed_at" not in fields:
            yield Violation(8, probe.job_id, "was not claimed at all")
            continue
        due = max(int(fields["created_at"]), int(fields.get("run_at", 0)))
        waited = (int(fields["claimed_at"]) - due) / 1000
        if waited > probe.bound + probe.lag:
            yield Violation(
                8, probe.job_id, f"waited {waited:.3f} s; allowed {probe.bound:g} s and a lag of {probe.lag:.3f} s"
            )
