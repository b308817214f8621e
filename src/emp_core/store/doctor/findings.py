"""What the doctor says: findings, how bad each is, and the damages behind it that can be mended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from emp_core.ids import JobId


class Severity(StrEnum):
    """How bad a finding is: all is well, somebody should look, or jobs are lost or stand still."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Missing:
    """A job does not stand in an index where its state demands it."""

    job_id: JobId
    index: str


@dataclass(frozen=True, slots=True)
class Stray:
    """An index holds a job that is not there, or belongs elsewhere."""

    job_id: JobId
    index: str


@dataclass(frozen=True, slots=True)
class Misplaced:
    """An index holds a job with another score than its record demands."""

    job_id: JobId
    index: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A part of a job stands alone: nothing reads it, and nothing will delete it."""

    key: str
    job_id: JobId


@dataclass(frozen=True, slots=True)
class Lasting:
    """A key that should go by itself has no time to live."""

    key: str


@dataclass(frozen=True, slots=True)
class Vanishing:
    """A part of a job that has not ended has a time to live."""

    key: str
    job_id: JobId


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A worker holds jobs and stands in no list of workers, so nobody will ever take them from it."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Miscount:
    """A counter is too low or too high; `difference` added to it makes it right."""

    field: str
    difference: int


@dataclass(frozen=True, slots=True)
class Settled:
    """An entry of the list of broken records whose job is sound again, or gone."""

    entry: bytes


@dataclass(frozen=True, slots=True)
class WrongType:
    """A key holds a value of another type than EMP writes."""

    key: str
    kind: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A field, member or entry of a key cannot be read. `removal` is the command that removes it."""

    key: str
    removal: str
    entry: str


@dataclass(frozen=True, slots=True)
class LostSequence:
    """The submission counter is no number that a job may have."""


Damage = (
    Missing
    | Stray
    | Misplaced
    | Orphan
    | Lasting
    | Vanishing
    | Forgotten
    | Miscount
    | Settled
    | WrongType
    | Unreadable
    | LostSequence
)
"""What can be mended safely: the record of a job says how it should be, and no record is changed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question about the store.

    Args:
        check: the question, in a word or two; always the same ones, in the same order.
        severity: how bad it is.
        detail: the answer, in a sentence.
        remedy: what to do about it; empty where nothing is to be done.
        damages: what `--fix` would mend of it.
    """

    check: str
    severity: Severity
    detail: str
    remedy: str = ""
    damages: tuple[Damage, ...] = ()


def _printable(detail: str) -> str:
    """Write out the bytes of damaged names: no output takes them as they are."""
    return detail.encode(errors="surrogateescape").decode(errors="backslashreplace")


def fine(check: str, detail: str) -> Finding:
    """Say that all is well."""
    return Finding(check, Severity.OK, _printable(detail))


def warning(check: str, detail: str, remedy: str, damages: Iterable[Damage] = ()) -> Finding:
    """Say that somebody should look."""
    return Finding(check, Severity.WARNING, _printable(detail), remedy, tuple(damages))


def error(check: str, detail: str, remedy: str, damages: Iterable[Damage] = ()) -> Finding:
    """Say that jobs are lost or stand still, or will."""
    return Finding(check, Severity.ERROR, _printable(detail), remedy, tuple(damages))


def worst(findings: Iterable[Finding]) -> Severity:
    """Give the severity of the worst finding."""
    met = {finding.severity for finding in findings}
    return next((severity for severity in (Severity.ERROR, Severity.WARNING) if severity in met), Severity.OK)


def amount(count: int, one: str, many: str) -> str:
    """Say how many there are, and what goes with that: `1 type has`, `3 types have`."""
    return f"{count} {one if count == 1 else many}"


def listed(things: Iterable[object], shown: int = 3) -> str:
    """Name the first few things, and say how many more there are."""
    names = [str(thing) for thing in things]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
