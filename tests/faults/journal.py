"""The journal of a run: the starts and ends of handlers, as the handlers themselves wrote them down.

One write per line to a file that is open for appending: what a handler wrote survives the kill -9 of its process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """A handler began, ended with a result of this SHA-256, or failed as told. `at` is monotonic, as in the history."""

    event: Literal["begun", "ended", "failed"]
    job_id: str
    attempt: int
    worker_id: str
    pid: int
    at: float
    digest: str = ""
    wall: float = 0.0


_decoder = msgspec.json.Decoder(Entry)


@dataclass(frozen=True, slots=True)
class Journal:
    """What all handlers wrote down, in the order of writing, by job."""

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    def begun(self, job_id: str) -> tuple[Entry, ...]:
        """Give the starts of a job's handler."""
        return tuple(entry for entry in self.entries.get(job_id, ()) if entry.event == "begun")

    @property
    def extra_runs(self) -> int:
        """Count the starts that only a fault explains: neither a first one nor one after a failure as told."""
        return sum(
            max(0, len(self.begun(job_id)) - 1 - sum(entry.event == "failed" for entry in entries))
            for job_id, entries in self.entries.items()
        )

    def ended(self, job_id: str) -> tuple[Entry, ...]:
        """Give the ends of a job's handler that came with a result."""
        return tuple(entry for entry in self.entries.get(job_id, ()) if entry.event == "ended")


def journal_of(entries: Iterable[Entry]) -> Journal:
    """Sort entries by job."""
    by_job: dict[str, list[Entry]] = {}
    for entry in entries:
        by_job.setdefault(entry.job_id, []).append(entry)
    return Journal({job_id: tuple(found) for job_id, found in by_job.items()})


def read_journal(path: Path) -> Journal:
    """Read what was appended to a file; there is none before the first handler has begun."""
    lines = path.read_bytes().splitlines() if path.exists() else ()
    return journal_of(_decoder.decode(line) for line in lines)
