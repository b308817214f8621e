"""The history of a run: what clients sent and what was answered, one line per fact, appended as it happens.

A call without an answer is unknown: the job may be there or not. It is never taken for refused.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

STORED: Final = frozenset({200, 202})
"""The answers to a submission that say: the job is stored."""


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A client sends a request about a subject: an idempotency key (submit) or a job's id. Times are monotonic."""

    call: int
    verb: str
    subject: str
    body: str
    at: float
    max_attempts: int = 3


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The server answered a call."""

    call: int
    status: int
    job_id: str
    body: str
    at: float


class Probe(msgspec.Struct, frozen=True, tag="probe"):
    """A job had to be claimed within so many seconds of being due; `lag` is how late this machine woke a thread."""

    job_id: str
    bound: float
    lag: float


class Took(msgspec.Struct, frozen=True, tag="took"):
    """Something that is promised within `bound` seconds took so long; `lag` as of a probe."""

    what: str
    seconds: float
    bound: float
    lag: float = 0.0


class Wiped(msgspec.Struct, frozen=True, tag="wiped"):
    """The test emptied the store: what was acknowledged before is gone, and rightly."""

    at: float


class Damaged(msgspec.Struct, frozen=True, tag="damaged"):
    """The test damaged a job's record: nothing is promised about this job, all is about the others."""

    job_id: str


Line = Sent | Answered | Probe | Took | Wiped | Damaged
_decoder = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its answer; `status` is None where none came."""

    verb: str
    subject: str
    body: str
    sent_at: float
    max_attempts: int = 3
    status: int | None = None
    job_id: str = ""
    answer: str = ""
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All that the clients know of a run."""

    calls: tuple[Call, ...] = ()
    probes: tuple[Probe, ...] = ()
    took: tuple[Took, ...] = ()
    damaged: frozenset[str] = frozenset()
    wiped_at: float = float("-inf")

    @property
    def acknowledged(self) -> Mapping[str, Call]:
        """Give the job ids that were answered as stored, each with the first submission that was answered so."""
        found: dict[str, Call] = {}
        for call in self.calls:
            if call.verb == "submit" and call.status in STORED and self.counts(call):
                found.setdefault(call.job_id, call)
        return found

    def counts(self, call: Call) -> bool:
        """Tell whether something is promised about the job of this call."""
        return call.job_id not in self.damaged and call.sent_at > self.wiped_at


def history_of(lines: Iterable[Line]) -> History:
    """Fold lines into calls with their answers."""
    sent: dict[int, Sent] = {}
    answers: dict[int, Answered] = {}
    probes: list[Probe] = []
    took: list[Took] = []
    damaged, wiped_at = set(), float("-inf")
    for line in lines:
        match line:
            case Sent():
                sent[line.call] = line
            case Answered():
                answers[line.call] = line
            case Probe():
                probes.append(line)
            case Took():
                took.append(line)
            case Damaged():
                damaged.add(line.job_id)
            case Wiped():
                wiped_at = line.at
                probes.clear()
    calls = tuple(_call(each, answers.get(each.call)) for each in sent.values())
    return History(calls, tuple(probes), tuple(took), frozenset(damaged), wiped_at)


def _call(sent: Sent, answered: Answered | None) -> Call:
    call = Call(sent.verb, sent.subject, sent.body, sent.at, sent.max_attempts)
    if answered is None:
        return call
    return Call(
        sent.verb,
        sent.subject,
        sent.body,
        sent.at,
        sent.max_attempts,
        answered.status,
        answered.job_id,
        answered.body,
        answered.at,
    )


def read_history(path: Path) -> History:
    """Read what was appended to a file."""
    return history_of(_decoder.decode(line) for line in path.read_bytes().splitlines())


@dataclass(slots=True)
class Historian:
    """Appends to the history file; any thread."""

    path: Path
    _file: int = field(init=False)
    _numbers: itertools.count[int] = field(init=False, default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Take nothing more."""
        os.close(self._file)

    def note(self, line: Line) -> None:
        """Append a line, in one write."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def sent(self, verb: str, subject: str, body: str = "", max_attempts: int = 3) -> int:
        """Note a request before it goes out; gives the call's number."""
        call = next(self._numbers)
        self.note(Sent(call, verb, subject, body, time.monotonic(), max_attempts))
        return call

    def answered(self, call: int, status: int, job_id: str = "", body: str = "") -> None:
        """Note what was answered."""
        self.note(Answered(call, status, job_id, body, time.monotonic()))
