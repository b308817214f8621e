"""Where a job must stand, by its record alone: every index that its state demands, with its score there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emp_core.jobs import FINAL_STATES, RUNNING_STATES, Job, JobState
from emp_core.store.doctor.patient import text_of
from emp_core.store.records import read_job

Fields = Mapping[bytes, bytes]

PARTS: Final = ("payload", "result", "error", "attempts", "log")
"""The keys of a job beside its record."""
SORTED: Final = ("pending:", "scheduled", "expiring", "retained", "running", "finished:", "tag:")
SETS: Final = ("held:", "asked:")
DAY: Final = 24 * 3600 * 1000
_RETENTION: Final = {JobState.COMPLETED: DAY, JobState.FAILED: 7 * DAY, JobState.CANCELLED: 7 * DAY}
_SEQUENCE_ROOM: Final = 2**42


def index_kind(name: str) -> str | None:
    """Tell whether a key's name is that of an index of jobs: a zset, or a set; None for other keys."""
    for kind, names in (("zset", SORTED), ("set", SETS)):
        if any(name.startswith(known) if known.endswith(":") else name == known for known in names):
            return kind
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a record says of its job: where the job must stand (no score in a set), and what it is counted as."""

    places: Mapping[str, int | None]
    is_final: bool
    counted_as: str
    worker: str | None


def standing(job_id: str, fields: Fields) -> Standing | None:
    """Read a record; None if it cannot be read as a job."""
    job = read_job(job_id, fields)
    if job is None:
        return None
    try:
        # Byte for byte, as the scripts read it: a name that is no UTF-8 must not become that of another key.
        read = {text_of(name): text_of(value) for name, value in fields.items()}
        places = _places(job, read)
    except (KeyError, ValueError):
        return None
    worker = read.get("worker") if job.state in RUNNING_STATES else None
    is_final = job.state in FINAL_STATES
    return Standing(places, is_final, "" if is_final else f"{job.state}:{read['type']}", worker)


def _places(job: Job, fields: Mapping[str, str]) -> Mapping[str, int | None]:
    state = job.state
    places: dict[str, int | None] = {}
    for tag in filter(None, fields.get("tags", "").split("\n")):
        places[f"tag:{tag}"] = int(fields["created_at"])
    if state is JobState.PENDING:
        places[f"pending:{fields['type']}"] = (1000 - job.priority) * _SEQUENCE_ROOM + int(fields["no"])
    elif state is JobState.SCHEDULED:
        places["scheduled"] = int(fields["run_at"])
    elif state in RUNNING_STATES:
        places["running"] = int(fields["claimed_at"])
        places[f"held:{fields['worker']}"] = None
        if "cancel_at" in fields:
            places[f"asked:{fields['worker']}"] = None
    else:
        finished_at = int(fields["finished_at"])
        places[f"finished:{state}"] = places[f"finished:{state}:{fields['type']}"] = finished_at
        places["retained"] = finished_at + int(fields.get("retention", _RETENTION[state]))
    if "expires_at" in fields and state not in FINAL_STATES:
        places["expiring"] = int(fields["expires_at"])
    return places
