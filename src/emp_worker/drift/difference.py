"""What a comparison of two schemas finds at one place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Word(StrEnum):
    """How sure it is."""

    REFUSED = "refused"
    """There are values that the old schema takes and the new one refuses."""
    UNKNOWN = "unknown"
    """It cannot be told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the new schema refuses, or may; `pointer` (RFC 6901) is the place in a payload, `*` any item."""

    word: Word
    pointer: str
    why: str

    def told(self) -> str:
        """Say it in one line."""
        cannot = "cannot tell: " if self.word is Word.UNKNOWN else ""
        return f"{self.pointer or '(the whole payload)'}: {cannot}{self.why}"


def refused(pointer: str, why: str) -> Difference:
    """Say that the new schema refuses something."""
    return Difference(Word.REFUSED, pointer, why)


def unknown(pointer: str, why: str) -> Difference:
    """Say that it may."""
    return Difference(Word.UNKNOWN, pointer, why)
