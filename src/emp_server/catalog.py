"""Keep the announced job types at hand: which there are, their newest versions, and who serves them now."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from packaging.version import InvalidVersion, Version

from emp_core.errors import UnknownJobType
from emp_core.jobs import Announcement
from emp_core.json_schema import SchemaUnusable
from emp_core.messages import WorkerStatusMessage
from emp_core.store import Store
from emp_server.schemas import PayloadCheck
from emp_server.shared_reading import AHEAD, SharedReading

_SERVING = frozenset({"idle", "busy"})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KnownType:
    """A job type as it stands now: its versions, newest first, how many workers serve it, and whether it is paused."""

    versions: Sequence[Announcement]
    workers_online: int
    paused: bool
    check: PayloadCheck | None = None

    @property
    def newest(self) -> Announcement:
        """The version by whose schema the door checks."""
        return self.versions[0]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All job types at one moment (`read_at` in the event loop's seconds), and the workers that were there."""

    types: Mapping[str, KnownType] = field(default_factory=dict)
    workers: frozenset[str] = frozenset()
    read_at: float = float("-inf")


class Catalog:
    """A short memory of what the store knows about job types, so that a submission costs no read.

    It is read again when it is older than `fresh_for`, when a worker came or went, and when somebody asks for a type
    that is not in it. However many ask at once, one of them reads. Every call may raise StoreUnavailable.
    """

    def __init__(self, store: Store, fresh_for: timedelta) -> None:
        self._store = store
        self._fresh_for = fresh_for.total_seconds()
        self._snapshot = Snapshot()
        self._reading = SharedReading(self._read)
        self._checks: dict[str, PayloadCheck | None] = {}
        self._forgotten = 0

    async def types(self) -> Mapping[str, KnownType]:
        """Give every known job type by its name."""
        now = asyncio.get_running_loop().time()
        snapshot = self._snapshot if now - self._snapshot.read_at < self._fresh_for else await self._reading.again()
        return snapshot.types

    def at_hand(self, name: str) -> KnownType | None:
        """Give one job type, where it was read just now; None where it was not, or is not known."""
        snapshot = self._snapshot
        age = asyncio.get_running_loop().time() - snapshot.read_at
        if age >= self._fresh_for:
            return None
        if age >= self._fresh_for * AHEAD:
            self._reading.ahead()
        return snapshot.types.get(name)

    async def known(self, name: str) -> KnownType:
        """Give one job type.

        Raises:
            UnknownJobType: nobody has announced it; the error has names like it.
        """
        known = (await self.types()).get(name)
        if known is not None:
            return known
        types = (await self._reading.again()).types
        if name in types:
            return types[name]
        near = difflib.get_close_matches(name[:200], types, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownJobType(f"no worker has announced the job type {name[:200]!r}{hint}", near=near)

    def heard(self, message: WorkerStatusMessage) -> None:
        """Read again soon if a worker came, drains, or went; that one took or finished a job changes nothing here."""
        if message.worker_id not in self._snapshot.workers or message.status not in _SERVING:
            self.forget()

    def forget(self) -> None:
        """Read again at the next question."""
        self._forgotten += 1
        self._snapshot = Snapshot()

    async def _read(self) -> Snapshot:
        forgotten = self._forgotten
        announced, paused, workers = await asyncio.gather(
            self._store.types.announced(), self._store.types.paused(), self._store.workers.list()
        )
        serving = [worker for worker in workers if worker.status in _SERVING]
        by_name: dict[str, list[Announcement]] = {}
        for announcement in announced:
            by_name.setdefault(announcement.job_type, []).append(announcement)
        self._checks = {known.digest: self._check_of(known) for known in announced}
        types = {}
        for name, versions in sorted(by_name.items()):
            ordered = sorted(versions, key=_age, reverse=True)
            online = sum(1 for worker in serving if name in worker.types)
            types[name] = KnownType(ordered, online, name in paused, self._checks[ordered[0].digest])
        ids = frozenset(str(worker.worker_id) for worker in workers)
        snapshot = Snapshot(types, ids, asyncio.get_running_loop().time())
        # What was forgotten meanwhile was so for a change that this reading may have missed.
        if forgotten == self._forgotten:
            self._snapshot = snapshot
        return snapshot

    def _check_of(self, known: Announcement) -> PayloadCheck | None:
        """Compile a version's schema, once per digest."""
        if known.digest in self._checks:
            return self._checks[known.digest]
        if known.payload_schema is None:
            return None
        try:
            return PayloadCheck(known.payload_schema)
        except SchemaUnusable as error:
            _log.warning("schema_not_usable", job_type=known.job_type, digest=known.digest, why=str(error))
            return None


def _age(known: Announcement) -> tuple[Version, float]:
    """Order versions by PEP 440, then by when they were seen; what is not a version is older than any."""
    try:
        version = Version(known.version)
    except InvalidVersion:
        version = Version("0.dev0")
    return version, known.seen_at.timestamp() if known.seen_at else 0.0
