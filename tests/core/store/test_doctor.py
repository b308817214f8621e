"""The doctor: every damage made by hand is found, what is safe is mended, and what is sound is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Announcement, Completed, JobState, Started
from emp_core.store import PARTITION
from emp_core.store.doctor import Doctor, Finding, Severity, open_doctor, service, worst
from emp_core.store.doctor.bookkeeping import type_of
from emp_core.store.embedded import EmbeddedStore
from emp_core.store.keys import OWNERS, namespace_tag
from support.stores import started_store

from .conftest import TYPE, Engine, real
from .soak import Soak, random_steps

pytestmark = pytest.mark.anyio

OF_KEYS = {"key space", "key types", "bookkeeping", "records", "indexes", "keys", "counters", "held jobs"}
GONE = JobId("0" * 26)


@dataclass
class Ward:
    """A store with a doctor, and some jobs in it."""

    engine: Engine
    doctor: Doctor
    pending: JobId
    scheduled: JobId
    running: JobId
    ended: JobId
    worker: WorkerId

    async def examine(self) -> dict[str, Finding]:
        """Give what the doctor finds that is not well, by check."""
        return {
            finding.check: finding for finding in await self.doctor.examine() if finding.severity is not Severity.OK
        }

    async def run(self, command: str, kind: str, *rest: object) -> None:
        """Do something to a key."""
        await self.engine.client.execute_command(command, self.engine.keys(kind), *rest)

    def namespaced(self, name: str) -> str:
        """Name a key of the namespace."""
        return f"{namespace_tag(self.engine.namespace)}:{name}"

    async def become(self, name: str) -> None:
        """Make a key one of another type."""
        key = self.namespaced(name) if name in {"types", "keys"} else self.engine.keys(name)
        await self.engine.client.delete(key)
        await self.engine.client.rpush(key, "x")


@asynccontextmanager
async def opened(url: str, namespace: str) -> AsyncIterator[Ward]:
    """Open a ward: a job in each kind of state, a worker that serves them, a janitor that has swept."""
    async with real(url, namespace) as engine, open_doctor(url, namespace, PARTITION) as doctor:
        jobs = engine.store.jobs
        worker = WorkerId("w" * 26)
        await engine.store.workers.register(worker, {"types": {TYPE: "d"}})
        await engine.store.types.announce([Announcement(TYPE, "d", "emp-plugin-test", "1.0")])
        ended = await engine.submit(tags=("red",))
        (claimed,) = await engine.claim(worker)
        await jobs.complete(worker, [Completed(claimed.job_id, claimed.token, b"1")])
        running = await engine.submit()
        (claimed,) = await engine.claim(worker)
        await jobs.start(worker, [Started(claimed.job_id, claimed.token)])
        await engine.ask_cancel(running)
        pending = await engine.submit(expires_in=timedelta(hours=1))
        scheduled = await engine.submit(delay=timedelta(hours=1))
        await jobs.sweep()
        yield Ward(engine, doctor, pending, scheduled, running, ended, worker)


@pytest.fixture
async def ward(valkey: EmbeddedStore, namespace: str) -> AsyncIterator[Ward]:
    """Give a ward on the shared store."""
    async with opened(valkey.url, namespace) as ward:
        yield ward


@pytest.fixture
async def own(tmp_path: Path, namespace: str) -> AsyncIterator[Ward]:
    """Give a ward on a store whose configuration the test may change."""
    with started_store(tmp_path / "own", "--appendonly", "yes") as store:
        async with opened(store.url, namespace) as ward:
            yield ward


async def test_all_is_well_with_a_sound_store(ward: Ward) -> None:
    """Every question is answered, and none badly."""
    findings = await ward.doctor.examine()

    assert {finding.severity for finding in findings} == {Severity.OK}
    assert {finding.check for finding in findings} >= OF_KEYS | {"version", "eviction", "clock", "scripts", "workers"}


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happened_the_keys_are_sound(ward: Ward, seed: int) -> None:
    """What the doctor thinks of an index is what the scripts think of it."""
    await Soak(ward.engine).run(random_steps(seed, 150))

    found = await ward.examine()

    assert found.keys() & OF_KEYS == set()


async def test_what_moves_meanwhile_is_not_taken_for_damage(ward: Ward) -> None:
    """Examined again and again while jobs run."""
    soak = Soak(ward.engine)
    traffic = asyncio.ensure_future(soak.run(random_steps(3, 300)))

    bad = []
    while not traffic.done():
        bad += [finding for check, finding in (await ward.examine()).items() if check in OF_KEYS]

    await traffic
    assert bad == []


Damage = Callable[[Ward], Awaitable[Any]]
MENDED: dict[str, tuple[str, Severity, Damage]] = {
    "a waiting job in no line": ("indexes", Severity.ERROR, lambda w: w.run("ZREM", f"pending:{TYPE}", w.pending)),
    "a scheduled job that will not be promoted": (
        "indexes",
        Severity.ERROR,
        lambda w: w.run("ZREM", "scheduled", w.scheduled),
    ),
    "a running job that nobody would take": ("indexes", Severity.ERROR, lambda w: w.run("DEL", f"held:{w.worker}")),
    "a running job in no list": ("indexes", Severity.ERROR, lambda w: w.run("DEL", "running")),
    "a cancel that the worker never hears": ("indexes", Severity.ERROR, lambda w: w.run("DEL", f"asked:{w.worker}")),
    "a job that will not expire": ("indexes", Severity.ERROR, lambda w: w.run("DEL", "expiring")),
    "an ended job that stays for ever": ("indexes", Severity.ERROR, lambda w: w.run("DEL", "retained")),
    "a tag that does not find its job": ("indexes", Severity.ERROR, lambda w: w.run("DEL", "tag:red")),
    "an entry without a record": ("indexes", Severity.ERROR, lambda w: w.run("ZADD", "scheduled", 1, GONE)),
    "an entry where it does not belong": (
        "indexes",
        Severity.ERROR,
        lambda w: w.run("ZADD", f"pending:{TYPE}", 1, w.ended),
    ),
    "a held job that has ended": ("indexes", Severity.ERROR, lambda w: w.run("SADD", f"held:{w.worker}", w.ended)),
    "a counter that is too high": (
        "counters",
        Severity.ERROR,
        lambda w: w.run("HINCRBY", "counts", f"pending:{TYPE}", 2),
    ),
    "a counter that is gone": ("counters", Severity.ERROR, lambda w: w.run("HDEL", "counts", f"scheduled:{TYPE}")),
    "a worker that is in no list": ("held jobs", Severity.ERROR, lambda w: w.run("ZREM", "workers", w.worker)),
    "a payload that would vanish": ("keys", Severity.ERROR, lambda w: w.run("EXPIRE", f"payload:{w.pending}", 999)),
    "a part of a job that is gone": ("keys", Severity.WARNING, lambda w: w.run("SET", f"payload:{GONE}", "{}")),
    "a ring that never ends": ("keys", Severity.WARNING, lambda w: w.run("PERSIST", f"wake:{TYPE}")),
    "an index of another type": ("key types", Severity.ERROR, lambda w: w.become("scheduled")),
    "counters of another type": ("key types", Severity.ERROR, lambda w: w.become("counts")),
    "announcements of another type": ("key types", Severity.ERROR, lambda w: w.become("types")),
    "a place that is too early": ("indexes", Severity.ERROR, lambda w: w.run("ZADD", "scheduled", 1, w.scheduled)),
    "an id that is no text": ("indexes", Severity.ERROR, lambda w: w.run("ZADD", "retained", 9e15, b"\xff")),
    "a held id that is no text": ("indexes", Severity.ERROR, lambda w: w.run("SADD", f"held:{w.worker}", b"\xff")),
    "a counter that is no number": (
        "bookkeeping",
        Severity.WARNING,
        lambda w: w.run("HSET", "counts", f"pending:{TYPE}", "many"),
    ),
    "a counter whose name is no text": ("bookkeeping", Severity.WARNING, lambda w: w.run("HSET", "totals", b"\xff", 1)),
    "a time that is none": ("bookkeeping", Severity.WARNING, lambda w: w.run("HSET", f"worker:{w.worker}", "lag", "x")),
    "a sequence that is no number": ("bookkeeping", Severity.WARNING, lambda w: w.run("SET", "seq", "x")),
    "a paused type that is no text": ("bookkeeping", Severity.WARNING, lambda w: w.run("SADD", "paused", b"\xff")),
    "a note that is no JSON": ("bookkeeping", Severity.WARNING, lambda w: w.run("LPUSH", "lost", b"\xff")),
    "an announcement that is no JSON": (
        "bookkeeping",
        Severity.WARNING,
        lambda w: w.engine.client.hset(w.namespaced("types"), "test.old|d", "1700000000000 {"),
    ),
    "an old note of a damage": (
        "set aside",
        Severity.WARNING,
        lambda w: w.run("LPUSH", "broken", f'{{"id":"{w.pending}","why":"it was damaged"}}'),
    ),
}


@pytest.mark.parametrize("what", list(MENDED))
async def test_a_damage_is_found_and_mended(ward: Ward, what: str) -> None:
    """It is named under its check, mended once, and then there is nothing left to say of the keys."""
    check, severity, damage = MENDED[what]
    await damage(ward)
    found = await ward.examine()

    mended = await ward.doctor.mend(list(found.values()))

    after = await ward.examine()
    assert found[check].severity is severity
    assert mended >= 1
    after = await ward.examine() if await ward.doctor.mend(list(after.values())) else after
    assert after.keys() & (OF_KEYS | {"set aside"}) == set()


LEFT: dict[str, tuple[str, Severity, Damage]] = {
    "a record that cannot be read": (
        "records",
        Severity.ERROR,
        lambda w: w.run("HSET", f"job:{w.pending}", "state", "strange"),
    ),
    "a record of another kind": ("records", Severity.ERROR, lambda w: w.run("SET", f"job:{w.pending}", "x")),
    "a job without its payload": ("keys", Severity.ERROR, lambda w: w.run("DEL", f"payload:{w.pending}")),
    "a key without an owner": ("keys", Severity.WARNING, lambda w: w.run("SET", "strange", "1")),
    "a record that was set aside": (
        "set aside",
        Severity.WARNING,
        lambda w: asyncio.gather(
            w.run("HSET", f"job:{w.pending}", "state", "strange"),
            w.run("LPUSH", "broken", f'{{"id":"{w.pending}","why":"strange"}}'),
        ),
    ),
    "a payload of another type": ("key types", Severity.ERROR, lambda w: w.become(f"payload:{w.pending}")),
    "API keys of another type": ("key types", Severity.ERROR, lambda w: w.become("keys")),
    "an epoch that is none": ("bookkeeping", Severity.WARNING, lambda w: w.run("SET", "epoch", "long ago")),
    "a type that is not announced": (
        "announcements",
        Severity.WARNING,
        lambda w: w.engine.client.delete(w.namespaced("types")),
    ),
    "no janitor": ("janitor", Severity.WARNING, lambda w: w.run("HSET", "sweep", "at", 1)),
    "a late worker": ("workers", Severity.WARNING, lambda w: w.run("ZADD", "workers", 1, w.worker)),
    "a type that nobody serves": (
        "job types",
        Severity.WARNING,
        lambda w: w.engine.submit(job_type="test.nobody"),
    ),
}


@pytest.mark.parametrize("what", list(LEFT))
async def test_what_cannot_be_mended_safely_is_told_and_left(ward: Ward, what: str) -> None:
    """Only a person knows what should become of it."""
    check, severity, damage = LEFT[what]
    await damage(ward)
    found = (await ward.examine())[check]

    await ward.doctor.mend([found])

    again = (await ward.examine())[check]
    assert (found.severity, again.severity) == (severity, severity)
    assert found.detail == again.detail or check == "janitor"
    assert found.damages == ()


async def test_one_thing_is_not_told_as_many(ward: Ward) -> None:
    await ward.run("ZREM", "workers", ward.worker)

    found = await ward.examine()

    assert found["job types"].detail.startswith("1 type has waiting jobs and no worker: ")
    assert found["held jobs"].detail.startswith("1 worker holds jobs and is not known: ")


async def test_mending_changes_no_record(ward: Ward) -> None:
    """Indexes and counters are set by the records, never the other way round."""
    records = {id_: await ward.engine.value(ward.engine.keys("job", id_)) for id_ in (ward.pending, ward.running)}
    for check, _, damage in MENDED.values():
        if check != "key types":  # of which one would be in the way of others
            await damage(ward)

    await ward.doctor.mend(await ward.doctor.examine())

    assert {id_: await ward.engine.value(ward.engine.keys("job", id_)) for id_ in records} == records


async def test_a_mended_line_is_claimed_from_again(ward: Ward) -> None:
    """The job gets the place that it had."""
    later = await ward.engine.submit()
    await ward.run("ZREM", f"pending:{TYPE}", ward.pending)

    await ward.doctor.mend(await ward.doctor.examine())

    assert [job.job_id for job in await ward.engine.claim(ward.worker, 2)] == [ward.pending, later]


async def test_jobs_of_an_unknown_worker_run_again(ward: Ward) -> None:
    """They go the way of every lost worker's jobs: with their loss counted, their token refused."""
    running = await ward.engine.submit()
    (job,) = [job for job in await ward.engine.claim(ward.worker, 2) if job.job_id == running]
    await ward.engine.write("start", ward.worker, job.job_id, job.token)
    await ward.run("DEL", "workers")

    await ward.doctor.mend(await ward.doctor.examine())
    await ward.engine.tend(20)

    assert (await ward.engine.job(job.job_id)).state is JobState.PENDING
    assert (await ward.engine.job(job.job_id)).losses == 1


async def test_an_orphan_is_kept_for_a_week(ward: Ward) -> None:
    """Nothing is deleted at once that somebody may want to look at."""
    await ward.run("SET", f"result:{GONE}", "{}")

    await ward.doctor.mend(await ward.doctor.examine())

    life = await ward.engine.ttl("result", GONE)
    assert life is not None
    assert timedelta(days=6) < life <= timedelta(days=7)


async def test_an_examination_is_bounded(valkey: EmbeddedStore, ward: Ward) -> None:
    """Beyond its cap it says that it has not seen everything, and takes nothing unseen for damage."""
    for _ in range(30):
        await ward.engine.submit(*[JobId(f"{n:026d}") for n in range(100, 200)])
    async with open_doctor(valkey.url, ward.engine.namespace, PARTITION, cap=1) as hasty:
        found = {finding.check: finding.severity for finding in await hasty.examine()}

    assert found["key space"] is Severity.WARNING
    assert found["indexes"] is Severity.OK
    assert found["counters"] is Severity.OK


async def test_a_store_that_evicts_or_forgets_is_told(own: Ward) -> None:
    """Both by its real configuration."""
    sound = await own.examine()
    await own.engine.client.config_set("maxmemory-policy", "allkeys-lru")
    await own.engine.client.config_set("appendonly", "no")

    found = await own.examine()

    assert sound == {}
    assert (found["eviction"].severity, found["persistence"].severity) == (Severity.ERROR, Severity.WARNING)


async def test_a_store_that_is_nearly_full_is_told(own: Ward) -> None:
    """Before submissions are refused."""
    used = (await own.engine.client.info("memory"))["used_memory"]
    await own.engine.client.config_set("maxmemory", int(used * 1.05))

    assert (await own.examine())["memory"].severity is Severity.WARNING


async def test_a_replica_is_told(own: Ward) -> None:
    """Whoever names it in the URL cannot submit."""
    await own.engine.client.execute_command("REPLICAOF", "127.0.0.1", "1")

    assert (await own.examine())["role"].severity is Severity.ERROR


async def test_a_store_that_forbids_what_we_need_is_told(own: Ward, namespace: str) -> None:
    """A user without SCRIPT cannot work; one without INFO and CONFIG can, but tells less."""
    url = f"redis://limited:x@127.0.0.1:{own.engine.client.connection_pool.connection_kwargs['port']}/0"
    await own.engine.client.execute_command(
        "ACL", "SETUSER", "limited", "on", ">x", "~*", "&*", "+@all", "-script", "-info", "-config"
    )

    async with open_doctor(url, namespace, PARTITION) as doctor:
        found = {finding.check: finding.severity for finding in await doctor.examine()}

    assert found["scripts"] is Severity.ERROR
    assert (found["version"], found["persistence"]) == (Severity.WARNING, Severity.WARNING)


async def test_clocks_that_differ_are_told(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's clock decides; ours is in the logs."""
    monkeypatch.setattr("emp_core.store.doctor.service.CLOCKS_APART", -1.0)

    assert "clock" in await ward.examine()


@pytest.mark.parametrize(
    ("info", "severity"),
    [
        ({"redis_version": "6.2.14"}, Severity.ERROR),
        ({"redis_version": "7.0.0"}, Severity.OK),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, Severity.ERROR),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, Severity.OK),
        ({}, Severity.WARNING),
    ],
)
def test_a_server_that_is_too_old_is_told(info: dict[str, str], severity: Severity) -> None:
    """Redis from 7.0, Valkey from 7.2."""
    assert service.version(info).severity is severity


def test_the_worst_finding_counts() -> None:
    """It decides how the command ends."""
    findings = [Finding("a", severity, "") for severity in (Severity.OK, Severity.ERROR, Severity.WARNING)]

    assert [worst(findings), worst(findings[::2]), worst(findings[:1])] == ["error", "warning", "ok"]


def test_the_doctor_knows_the_type_of_every_kind_of_key() -> None:
    """Those of the namespace are looked at on their own."""
    assert {owner for owner in OWNERS if type_of(owner) is None} == {"keys", "types", "session:"}


async def test_names_that_are_no_text_can_be_printed(ward: Ward) -> None:
    """And read: each byte is told."""
    await ward.run("SADD", "paused", b"\xff")
    await ward.run("ZADD", "scheduled", 9e15, b"\xfe")

    findings = await ward.examine()

    assert r"\xff" in findings["bookkeeping"].detail
    assert r"\xfe" in findings["indexes"].detail
