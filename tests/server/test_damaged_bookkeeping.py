"""Damaged bookkeeping is passed over or repaired: no answer is a 5xx, no verb fails, and the doctor says what is wrong.

Each kind of key of a used store gets each sort of wrong value (`support.damages`). A sample of them is quick; all of
them is a slow test.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import httpx2
import pytest

from emp_core.ids import JobId, new_worker_id
from emp_core.jobs import Completed, JobState, Report, Started
from emp_core.store import PARTITION, CancelAsk, Store, open_store
from emp_core.store.connection import connect
from emp_core.store.doctor import TURNS, Doctor, Finding, Severity, open_doctor
from emp_server.settings import ServerSettings
from support.damages import WRONG_TYPE, Damage, UsedStore, sample, use
from support.plain_http import asking
from support.serving import ANYTHING, WORDS, running

pytestmark = pytest.mark.anyio

TYPE: Final = ANYTHING.job_type
SAMPLED: Final = 12
STATES: Final = ("pending", "scheduled", "claimed", "in_progress", "running", "completed", "failed", "cancelled")

CONTENTS: Final = frozenset(
    {"payload:", "result:", "error:", "attempts:", "log:", "idem:", "session:", "bell:", "wake:"}
)
"""What the doctor does not read: only that these keys have the right type."""
REPAIRED_BY_SWEEPS: Final = frozenset({"sweep", "workers", "scheduled", "expiring", "retained"})
"""What the server's janitor has repaired before the doctor comes, if it has a turn just then."""
UNREAD_FIELDS: Final = frozenset({"worker:.claim_ids", "worker:.troubles", "worker:", "job:", "types", "paused"})
"""Fields that the doctor does not read, and hashes and sets to which anything may be added."""
COUNTERS: Final = frozenset({"counts", "totals", "minute:"})


def is_named_always(damage: Damage) -> bool:
    """Return whether the doctor must name a damage."""
    if damage.value == WRONG_TYPE:
        return damage.kind not in REPAIRED_BY_SWEEPS | {"session:"}
    return not (
        damage.kind in CONTENTS | REPAIRED_BY_SWEEPS
        or f"{damage.kind}.{damage.field.decode()}".rstrip(".") in UNREAD_FIELDS
        or damage.kind == "job:"  # which fields of a record matter depends on its state
        # A newer release may count what this one does not know.
        or (damage.kind in COUNTERS and not damage.field and damage.value != "not UTF-8")
    )


def refusal_of(damage: Damage) -> int | None:
    """Return the status of a submission that must be rejected; None where it must be accepted."""
    match damage.kind:
        case "keys" if damage.field or damage.value == WRONG_TYPE:
            return 401
        case "types" if damage.field.startswith(TYPE.encode()) or damage.value == WRONG_TYPE:
            return 404
    return None


def reads(used: UsedStore) -> list[str]:
    """Name every address that is read: of a job in each state, the worker, each list, and every page of the monitor."""
    jobs = [used.jobs[at] for at in (0, 1, 3, 4, 6)]
    return [
        "/v1/jobs",
        *(f"/v1/jobs?state={state}" for state in STATES),
        f"/v1/jobs?state=pending&job_type={TYPE}",
        f"/v1/jobs?state=failed&job_type={TYPE}",
        "/v1/jobs?tag=red",
        f"/v1/jobs?worker={used.worker}",
        *(f"/v1/jobs/{job_id}{part}" for job_id in jobs for part in ("", "/payload", "/result", "/log")),
        "/v1/job-types",
        f"/v1/job-types/{TYPE}",
        f"/v1/job-types/{TYPE}/schema",
        "/v1/workers",
        f"/v1/workers/{used.worker}",
        "/v1/stats",
        "/v1/whoami",
        "/metrics",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/",
        "/?span=day",
        "/jobs",
        *(f"/jobs?state={state}" for state in STATES),
        "/jobs?tag=red",
        *(f"/jobs/{job_id}" for job_id in jobs),
        "/types",
        f"/types/{TYPE}",
        f"/types/{WORDS.job_type}",
        f"/types/{TYPE}/run",
        *(f"/types/{TYPE}/run?like={job_id}" for job_id in jobs[:2]),
        "/workers",
        f"/workers/{used.worker}",
        "/system",
    ]


@dataclass
class Ordeal:
    """A used store with a server and a doctor; what they do wrong with a damage is said in words."""

    used: UsedStore
    store: Store
    doctor: Doctor
    client: httpx2.AsyncClient
    sound: list[Finding] = field(default_factory=list)

    async def damaged(self, damage: Damage) -> None:
        """Begin anew, with one damage."""
        await self.used.restore()
        await damage.apply(self.used.client)

    async def faults(self, damage: Damage) -> list[str]:
        """Return what goes wrong with a damage, each part of it on its own."""
        await self.damaged(damage)
        said = [*await self.read(), *await self.examine(damage)]
        await self.damaged(damage)
        said += await self.submit(damage)
        await self.damaged(damage)
        said += await self.work()
        return [f"{damage}: {fault}" for fault in said]

    async def read(self) -> list[str]:
        """Read everything."""
        addresses = reads(self.used)
        answers = await asyncio.gather(*map(self.client.get, addresses))
        return [
            f"{address} was answered {answer.status_code} {answer.text[:200]}"
            for address, answer in zip(addresses, answers, strict=True)
            if answer.status_code >= 500
        ]

    async def examine(self, damage: Damage) -> list[str]:
        """Let the doctor name and mend it; then nothing is left that it could mend."""
        findings = [each for each in await self.doctor.examine() if each not in self.sound]
        said = []
        if is_named_always(damage) and not any(each.severity is not Severity.OK for each in findings):
            said.append("the doctor says nothing")
        json.dumps([each.detail for each in findings], ensure_ascii=False).encode()
        for _ in range(TURNS if any(each.damages for each in findings) else 0):
            await self.doctor.mend(findings)
            findings = [each for each in await self.doctor.examine() if each not in self.sound]
        return said + [f"not mended: {each.detail}" for each in findings if each.damages]

    async def submit(self, damage: Damage) -> list[str]:
        """Submit in every way; what is accepted is stored whole, and what is rejected not at all."""
        before = await self._records()
        bodies: list[dict[str, Any]] = [{}, {"tags": ["red"]}, {"delay": 60}, {"expires_in": 60, "priority": -3}]
        expected = refusal_of(damage)
        said, stored = [], set()
        for number, body in enumerate(bodies):
            headers = {"Idempotency-Key": f"key-{number}"} if number % 2 else {}
            sent = {"job_type": TYPE, "payload": {"n": 2}, **body}
            answer = await self.client.post("/v1/jobs", json=sent, headers=headers)
            if answer.status_code != (expected or 202):
                said.append(f"the submission {body} was answered {answer.status_code} {answer.text[:200]}")
            if answer.status_code == 202:
                stored.add(JobId(answer.json()["id"]))
        if await self._records() - before != stored:
            said.append("a job was stored in part")
        jobs = [job for job in await self.store.views.get(list(stored)) if job is not None]
        for job in jobs:
            index = ("scheduled",) if job.state is JobState.SCHEDULED else ("pending", job.job_type)
            if await self.used.client.zscore(self.used.key(*index), job.job_id) is None:
                said.append(f"the job {job.job_id} is {job.state} and stands in no index")
        return said if len(jobs) == len(stored) else [*said, "a job cannot be read"]

    async def _records(self) -> set[JobId]:
        prefix = self.used.key("job", "")
        return {JobId(key.decode().removeprefix(prefix)) for key in await self.used.client.keys(f"{prefix}*")}

    async def work(self) -> list[str]:
        """Do what workers and janitors do; a job of the type is claimed and completed."""
        jobs, workers, worker = self.store.jobs, self.store.workers, self.used.worker
        said = []

        async def done(what: str, call: Awaitable[Any]) -> Any:
            try:
                return await call
            except Exception as error:  # noqa: BLE001 - every one is a fault
                said.append(f"{what} raised {error!r}")

        for duty in (jobs.sweep, jobs.promote, jobs.expire, jobs.recover, jobs.retain):
            await done(duty.__name__, duty())
        await done("renew", workers.renew(worker, 0.1))
        await done("held", workers.held(worker))
        new = new_worker_id()
        await done("register", workers.register(new, {}))
        await done("announce", self.store.types.announce([WORDS, ANYTHING]))
        await done("wait", self.store.doorbell.wait(new, [TYPE], 0.001))
        await done("resume", self.store.types.resume(TYPE))
        await done("submit", jobs.submit([self.used.submission()]))
        claim = await done("claim", jobs.claim(new, 1, {TYPE: 10, WORDS.job_type: 10}, 10))
        given = [] if claim is None else list(claim.jobs)
        for job in given:
            await done("start", jobs.start(new, [Started(job.job_id, job.token)]))
            await done("report", jobs.report(new, [Report(job.job_id, job.token, 0.5, "half", (b"{}",))]))
        outcomes = [Completed(job.job_id, job.token, b"1") for job in given]
        replies = await done("complete", jobs.complete(new, outcomes))
        if not given or replies != ["OK"] * len(given):
            said.append(f"{len(given)} jobs were claimed; their ends were answered {replies}")
        await done("cancel", jobs.cancel([CancelAsk(job_id, "tester", "why") for job_id in self.used.jobs]))
        await done("revive", jobs.revive(self.used.jobs))
        await done("pause", self.store.types.pause(TYPE))
        await done("drain", workers.drain(worker))
        for each in (worker, new):
            await done("leave", workers.leave(each, "the end"))
        return said


@pytest.fixture
async def ordeal(redis_url: str, namespace: str) -> AsyncIterator[Ordeal]:
    """Return a used store with a server that knows nothing for longer than a moment."""
    moment = timedelta(milliseconds=1)
    settings = ServerSettings(
        redis_url=redis_url, namespace=namespace, job_types_fresh_for=moment, keys_fresh_for=moment
    )
    async with (
        connect(redis_url) as client,
        open_store(redis_url, namespace) as store,
        open_doctor(redis_url, namespace, PARTITION) as doctor,
    ):
        used = await use(store, client, namespace)
        with running(settings) as server:
            headers = {"Authorization": f"Bearer {used.token}"}
            async with asking(server.url, headers=headers) as http:
                ordeal = Ordeal(used, store, doctor, http)
                await used.restore()
                ordeal.sound = await doctor.examine()
                assert {finding.check for finding in ordeal.sound if finding.severity is not Severity.OK} == {
                    "set aside"
                }
                assert await ordeal.read() == []
                yield ordeal


async def test_a_sample_of_damages_does_no_harm(ordeal: Ordeal) -> None:
    seed = secrets.randbelow(2**32)
    faults = []
    for damage in sample(await ordeal.used.damages(), SAMPLED, seed):
        faults += await ordeal.faults(damage)

    assert faults == [], f"with the seed {seed}"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_damage_does_harm(ordeal: Ordeal) -> None:
    damages = await ordeal.used.damages()
    assert len(damages) >= 190

    assert [fault for damage in damages for fault in await ordeal.faults(damage)] == []
