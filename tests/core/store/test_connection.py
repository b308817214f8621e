"""The connection: every failure of the store in our own words, no secret in any of them, and work again afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from emp_core.errors import EmpError, InternalError, SettingsError, StoreFull, StoreUnavailable
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Completed, Submission
from emp_core.store import Store, SubmitWord, open_store, redacted
from emp_core.store.connection import connect, database_of
from emp_core.store.embedded import EmbeddedStore
from support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.process]

SECRET = "sesame"  # noqa: S105 - it opens nothing


@pytest.fixture
def own() -> Iterator[EmbeddedStore]:
    """Run a store that the test may kill and freeze."""
    with EmbeddedStore() as store:
        yield store


@asynccontextmanager
async def refusing(error: str) -> AsyncIterator[str]:
    """Run a server that answers every command but the handshake with an error, and give its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.readline():
            words = []
            for _ in range(int(header[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if words[0].upper() == b"HELLO":
                writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
            elif words[0].upper() == b"CLIENT":
                writer.write(b"+OK\r\n")
            else:
                writer.write(f"-{error}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield str(server.sockets[0].getsockname()[1])


async def refused(error: str) -> EmpError:
    """Give what a call raises when the store answers with this error."""
    async with refusing(error) as port, open_store(f"redis://:{SECRET}@127.0.0.1:{port}", "x") as store:
        with pytest.raises(EmpError) as raised:
            await store.ping()
    return raised.value


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("READONLY You can't write against a read only replica.", StoreUnavailable),
        ("LOADING Redis is loading the dataset in memory", StoreUnavailable),
        ("BUSY Redis is busy running a script.", StoreUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", StoreUnavailable),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable),
        ("MASTERDOWN Link with MASTER is down", StoreUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", StoreUnavailable),
        ("MOVED 3999 127.0.0.1:6381", StoreUnavailable),
        ("ASK 3999 127.0.0.1:6381", StoreUnavailable),
        ("NOSCRIPT No matching script.", StoreUnavailable),
        ("UNBLOCKED client unblocked via CLIENT UNBLOCK", StoreUnavailable),
        ("ERR max number of clients reached", StoreUnavailable),
        ("NOAUTH Authentication required.", StoreUnavailable),
        ("WRONGPASS invalid username-password pair or user is disabled.", StoreUnavailable),
        ("NOPERM this user has no permissions", StoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull),
        ("MISCONF Errors writing to the AOF file: No space left on device", StoreFull),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreUnavailable),
        ("ERR unknown command", InternalError),
    ],
)
async def test_every_answer_of_the_store_has_its_class(answer: str, error: type[EmpError]) -> None:
    """What passes is told apart from what is full and from what is our own fault; the code stays in the text."""
    raised = await refused(answer)

    assert type(raised) is error
    assert answer.removeprefix("ERR ") in raised.detail


@pytest.mark.parametrize("answer", ["NOAUTH Authentication required.", "WRONGPASS invalid", "NOPERM no permissions"])
async def test_who_is_not_let_in_is_told_what_to_check(answer: str) -> None:
    """The user and the password are in one setting."""
    assert "redis_url" in (await refused(answer)).detail


async def test_no_error_shows_the_password() -> None:
    """Not the message, not the traceback."""
    refusal = await refused("ERR no")
    async with open_store(f"redis://ann:{SECRET}@127.0.0.1:1", "x") as store:
        with pytest.raises(StoreUnavailable) as nobody:
            await store.ping()

    for error in (refusal, nobody.value):
        assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{SECRET}@host",
        f"redis://ann:{SECRET}@host:port",
        f"redis://:{SECRET}#more@host/0",
        f"redis://:more/{SECRET}@host/0",
        f"redis://[:{SECRET}@host/0",
        f"nonsense?password={SECRET}",
        "nonsense",
        "",
    ],
)
async def test_a_url_that_cannot_be_read_is_a_settings_error_without_its_password(url: str) -> None:
    """Also where the password holds what belongs percent-encoded."""
    with pytest.raises(SettingsError, match="redis_url") as raised:
        connect(url)

    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://ann@host/0", "redis://ann@host/0"),
        ("redis://ann:sesame@host:1/0", "redis://ann:***@host:1/0"),
        ("rediss://:se:s@me@host/0", "rediss://:***@host/0"),
        ("unix://ann:sesame@/run/emp.sock?db=1", "unix://ann:***@/run/emp.sock?db=1"),
        ("redis://host/0?password=sesame&db=1", "redis://host/0?password=***&db=1"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """Everything else of it helps to find the mistake."""
    assert redacted(url) == shown


async def test_a_store_that_was_killed_is_unavailable_and_then_works_again(own: EmbeddedStore) -> None:
    """Calls fail while it is away; nothing has to be opened anew."""
    async with open_store(own.url, "x") as store:
        job = Submission(new_job_id(), "test.work", b"{}")
        await store.jobs.submit([job])

        own.kill()
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.jobs.submit([job])
        own.start()

        assert [answer.word for answer in await store.jobs.submit([job])] == [SubmitWord.OK]


async def test_a_restart_between_two_calls_is_not_seen(own: EmbeddedStore) -> None:
    """The pooled connection is dead; the call is sent once more on a new one."""
    async with open_store(own.url, "x") as store:
        await store.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])
        own.kill()
        own.start()

        answers = await store.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])

    assert answers[0].word is SubmitWord.OK


async def test_a_frozen_store_runs_a_given_up_call_once(own: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears in time that the outcome is unknown; repeating the call is then safe."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.2)
    job = Submission(new_job_id(), "test.work", b"{}")
    async with open_store(own.url, "x") as store:
        await store.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])
        assert own.pid is not None
        os.kill(own.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await store.jobs.submit([job])
        finally:
            os.kill(own.pid, signal.SIGCONT)

        async def arrived() -> bool:
            return (await store.views.get([job.job_id])) != [None]

        await wait_until_async(arrived)
        (again,) = await store.jobs.submit([job])
        counts = (await store.views.stats()).counts["test.work"]

    assert again.word is SubmitWord.OK
    assert counts["submitted"] == 2


async def test_an_answer_that_comes_late_is_not_taken_for_another(
    own: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a call was given up, the next one reads its own answer."""
    monkeypatch.setattr("emp_core.store.connection.CALL_TIMEOUT", 0.2)
    async with open_store(own.url, "x") as store:
        await store.ping()
        assert own.pid is not None
        os.kill(own.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await store.types.paused()
        finally:
            os.kill(own.pid, signal.SIGCONT)

        assert await epoch_in_time(store) == ""


async def epoch_in_time(store: Store) -> str:
    """Read the epoch as soon as the store answers again."""

    async def ask() -> list[str]:
        try:
            return [await store.epoch()]
        except StoreUnavailable:
            return []

    return (await wait_until_async(ask))[0]


async def test_forgotten_scripts_are_loaded_again_unseen(own: EmbeddedStore) -> None:
    """SCRIPT FLUSH in the middle of calls, as from a store that restarted, costs no caller anything."""
    jobs = [Submission(new_job_id(), "test.work", b"{}") for _ in range(100)]

    async with open_store(own.url, "x") as store, connect(own.url) as raw:
        words = []
        for job in jobs:
            answers, _ = await asyncio.gather(store.jobs.submit([job]), raw.execute_command("SCRIPT FLUSH"))
            words.append(answers[0].word)
        counts = (await store.views.stats()).counts["test.work"]

    assert words == [SubmitWord.OK] * 100
    assert (counts["submitted"], counts["pending"]) == (100, 100)


async def test_a_full_store_refuses_jobs_and_lets_running_ones_finish(own: EmbeddedStore) -> None:
    """Nothing of a refused submission is stored."""
    async with open_store(own.url, "x") as store, connect(own.url) as raw:
        worker = new_worker_id()
        await store.workers.register(worker, {})
        await store.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])
        (job,) = (await store.jobs.claim(worker, 1, {"test.work": 1}, 1)).jobs
        await raw.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            await store.jobs.submit([Submission(new_job_id(), "test.work", b"{}")])

        (reply,) = await store.jobs.complete(worker, [Completed(job.job_id, job.token, b"1")])

        await raw.config_set("maxmemory", 0)
        counts = (await store.views.stats()).counts["test.work"]

    assert reply == "OK"
    assert (counts["submitted"], counts["completed"]) == (1, 1)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://127.0.0.1", 0),
        ("redis://127.0.0.1/1", 1),
        ("rediss://:pass@127.0.0.1:1/12", 12),
        ("redis://127.0.0.1?db=3", 3),
        ("unix:///tmp/store.sock", 0),
        ("unix:///tmp/store.sock?db=4", 4),
        ("redis+sentinel://a:1/main", 0),
        ("redis+sentinel://a:1/main?db=5", 5),
    ],
)
async def test_every_form_of_a_url_says_its_database(url: str, database: int) -> None:
    """The channels of a store depend on it."""
    async with connect(url) as client:
        assert database_of(client) == database


async def test_a_closed_store_leaves_no_connection_behind(own: EmbeddedStore) -> None:
    """Neither of calls nor of waits nor of feeds."""
    async with connect(own.url) as raw:
        await raw.ping()
        before = len(await raw.client_list())
        async with open_store(own.url, "x") as store:
            await store.ping()
            await store.doorbell.wait(new_worker_id(), ["test.work"], 0.001)
            async with store.feed.subscribe() as events:
                await anext(events)
                during = len(await raw.client_list())

        async def all_gone() -> bool:
            return len(await raw.client_list()) == before

        assert during == before + 3
        await wait_until_async(all_gone)
