"""The job types that workers have announced, all versions of each, and which are paused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from emp_core.jobs import Announcement
from emp_core.store.batching import Pipeline
from emp_core.store.keys import Keys, namespace_tag
from emp_core.store.records import milliseconds, moment, text_of
from emp_core.store.scripts import Scripts

KEEP_FOR = timedelta(days=30)
_TIME_LENGTH = len("1700000000000 ")
"""Bytes before the JSON of an announcement, as announce.lua writes them."""


class TypeStore:
    """Announced and paused job types. Every call may raise StoreUnavailable."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, keys: Keys, namespace: str) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._keys = keys
        self._tag = namespace_tag(namespace)

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Make job types known; done at every registration of a worker, and once a day while it lives."""
        items = [(f"{known.job_type}|{known.digest}", _write(known)) for known in announcements]
        command = self._scripts["announce"].command(self._tag, {"keep_for": milliseconds(KEEP_FOR)}, items)
        await self._pipeline.send(command)

    async def lacks(self, announcements: Sequence[Announcement]) -> bool:
        """Return whether one of these announcements is gone, or has another length than it was written with."""
        lengths = await asyncio.gather(
            *(
                self._pipeline.send(("HSTRLEN", f"{self._tag}:types", f"{known.job_type}|{known.digest}"))
                for known in announcements
            )
        )
        return any(
            length != _TIME_LENGTH + len(_write(known)) for known, length in zip(announcements, lengths, strict=True)
        )

    async def announced(self) -> list[Announcement]:
        """Read every version of every type known, also of types that no worker serves now; none that is forgotten."""
        fields: Mapping[bytes, bytes]
        now: tuple[bytes, bytes]
        fields, now = await asyncio.gather(
            self._pipeline.send(("HGETALL", f"{self._tag}:types")), self._pipeline.send(("TIME",))
        )
        # Cleared away at the next announcement, which may never come.
        since = datetime.fromtimestamp(int(now[0]), tz=UTC) - KEEP_FOR
        return [
            known
            for known in map(read_announcement, fields.values())
            if known is not None and _seen_since(since, known)
        ]

    async def paused(self) -> set[str]:
        """Read which types are paused."""
        return {text_of(name) for name in await self._pipeline.send(("SMEMBERS", self._keys("paused")))}

    async def pause(self, job_type: str) -> None:
        """Let no job of a type be claimed; running ones go on."""
        await self._pause(job_type, "1")

    async def resume(self, job_type: str) -> None:
        """Let the jobs of a type be claimed again."""
        await self._pause(job_type, "0")

    async def _pause(self, job_type: str, paused: str) -> None:
        arguments = {"job_type": job_type, "paused": paused}
        await self._pipeline.send(self._scripts["pause"].command(self._keys.tag, arguments))


_FIELDS = frozenset(field.name for field in fields(Announcement))


def _write(known: Announcement) -> bytes:
    return msgspec.json.encode(
        {
            "job_type": known.job_type,
            "digest": known.digest,
            "distribution": known.distribution,
            "version": known.version,
            "title": known.title,
            "description": known.description,
            "payload_schema": known.payload_schema,
            "result_schema": known.result_schema,
            "examples": list(known.examples),
            "options": dict(known.options),
        }
    )


def _seen_since(time: datetime, known: Announcement) -> bool:
    return known.seen_at is not None and known.seen_at >= time


def read_announcement(text: bytes) -> Announcement | None:
    """Read an announcement, passing over what a newer EMP adds to it; None if it is damaged."""
    at, _, body = text.partition(b" ")
    try:
        read: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
        known = {name: value for name, value in read.items() if name in _FIELDS}
        return Announcement(**known | {"examples": tuple(read.get("examples") or ()), "seen_at": moment(at)})
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError):
        return None
