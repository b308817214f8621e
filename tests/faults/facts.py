"""What a check looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faults.history import Call, History
from faults.journal import Journal
from faults.ledger import Change, Deleted, Kept, Wrote
from faults.snapshot import Snapshot


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """An invariant (its number in docs/explanation/faults.md) that does not hold, of which subject, and how."""

    invariant: int
    subject: str
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant}, {self.subject}: {self.what}"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of a run, with what several checks look up."""

    history: History
    journal: Journal
    snapshot: Snapshot
    acknowledged: Mapping[str, Call]
    lives: Mapping[str, tuple[Change, ...]]
    """The changes of each job, in order."""

    def is_promised(self, job_id: str) -> bool:
        """Tell whether the test left this job's record alone."""
        return job_id not in self.history.damaged


def facts_of(history: History, journal: Journal, snapshot: Snapshot) -> Facts:
    """Sort out what is known by job."""
    lives: dict[str, list[Change]] = {}
    for change in snapshot.changes:
        if isinstance(change, Wrote | Kept | Deleted):
            lives.setdefault(change.job_id, []).append(change)
    return Facts(
        history, journal, snapshot, history.acknowledged, {job_id: tuple(life) for job_id, life in lives.items()}
    )
