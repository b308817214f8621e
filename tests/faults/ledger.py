"""The ledger of a run: every change of a job that the store made, in order, read from its append-only file.

The effects of one script call stand between MULTI and EXEC there, so nothing that happened can be missed, as it could
be on a pub/sub channel; and it survives the kill -9 of the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emp_core.store.records import BEGINS_WITH

_TEXTS = frozenset({"payload", "result", "error"})


@dataclass(frozen=True, slots=True)
class Wrote:
    """Fields of a job's record were written."""

    transaction: int
    job_id: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """A job's payload, result or error was written."""

    transaction: int
    job_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """A job's record was deleted."""

    transaction: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter was moved."""

    transaction: int
    name: str
    by: int


Change = Wrote | Kept | Deleted | Counted


def read_ledger(data_dir: Path, tag: str) -> tuple[Change, ...]:
    """Read the changes of one partition from the append-only files of a store that never rewrote them."""
    changes: list[Change] = []
    transaction, is_open = 0, False
    for file in sorted((data_dir / "appendonlydir").glob("*.incr.aof"), key=_generation):
        for command in _commands(file.read_bytes()):
            name = command[0].upper()
            if name == b"MULTI":
                transaction, is_open = transaction + 1, True
            elif name == b"EXEC":
                is_open = False
            else:
                transaction += not is_open
                changes += _changes(transaction, name, [word.decode(errors="replace") for word in command[1:]], tag)
    return tuple(changes)


def _generation(file: Path) -> int:
    return int(file.name.split(".")[-3])


def _commands(text: bytes) -> Iterator[list[bytes]]:
    """Take commands apart; what a crash tore off at the end is left out."""
    at = 0
    while at < len(text):
        if text[at : at + 1] == b"#":  # a timestamp
            at = text.index(b"\n", at) + 1
            continue
        command = []
        try:
            end = text.index(b"\r\n", at)
            count, at = int(text[at + 1 : end]), end + 2
            for _ in range(count):
                end = text.index(b"\r\n", at)
                length, at = int(text[at + 1 : end]), end + 2
                command.append(text[at : at + length])
                at += length + 2
        except ValueError:
            return
        if at > len(text):
            return
        yield command


def _changes(transaction: int, name: bytes, words: list[str], tag: str) -> Iterator[Change]:
    if name == b"HSET" and words[0].startswith(f"{tag}:job:"):
        fields = dict(zip(words[1::2], words[2::2], strict=True))
        begun = BEGINS_WITH if "created_at" in fields else {}  # submit alone writes it
        yield Wrote(transaction, words[0].removeprefix(f"{tag}:job:"), begun | fields)
    elif name == b"SET" and words[0].startswith(f"{tag}:"):
        kind, _, job_id = words[0].removeprefix(f"{tag}:").partition(":")
        if kind in _TEXTS:
            yield Kept(transaction, job_id, kind)
    elif name in {b"DEL", b"UNLINK"}:
        for key in words:
            if key.startswith(f"{tag}:job:"):
                yield Deleted(transaction, key.removeprefix(f"{tag}:job:"))
    elif name == b"HINCRBY" and words[0] == f"{tag}:counts":
        yield Counted(transaction, words[1], int(words[2]))
