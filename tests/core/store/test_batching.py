"""Batching: calls of one tick share a round trip, within limits, and callers do not disturb each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from emp_core.errors import StoreUnavailable
from emp_core.ids import JobId, new_job_id, new_worker_id
from emp_core.jobs import Completed, Released, Report, Started, Submission
from emp_core.store import CancelAsk, CancelWord, Store, SubmitWord, open_store
from emp_core.store.batching import BYTES_PER_CALL, split, weight
from emp_core.store.embedded import EmbeddedStore

pytestmark = pytest.mark.anyio

TYPE = "test.work"


@dataclass
class Proxy:
    """Stands between a client and the store, and counts.

    A round trip is the client speaking after the store did; `script_calls` are the scripts it asked for.
    """

    url: str = ""
    round_trips: int = 0
    cut: bool = False
    script_calls: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on in both directions until one side ends."""
        server_reader, server_writer = await asyncio.open_connection(*self.upstream)
        answered = True

        async def forward() -> None:
            nonlocal answered
            while data := await reader.read(1 << 16):
                self.round_trips += answered
                answered = False
                self.script_calls += data.upper().count(b"\r\nEVALSHA\r\n")
                if self.cut:
                    break
                server_writer.write(data)
            server_writer.close()

        async def back() -> None:
            nonlocal answered
            while data := await server_reader.read(1 << 16):
                answered = True
                writer.write(data)
            writer.close()

        with suppress(ConnectionError):
            await asyncio.gather(forward(), back())

    upstream: tuple[str, int] = ("", 0)


@asynccontextmanager
async def counted(valkey: EmbeddedStore, namespace: str) -> AsyncIterator[tuple[Store, Proxy]]:
    """Open a store through a proxy, its connection made and its scripts loaded."""
    parts = urlsplit(valkey.url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(upstream=(parts.hostname, parts.port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server, open_store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", namespace) as store:
        await submit(store)
        proxy.round_trips = proxy.script_calls = 0
        yield store, proxy


async def submit(store: Store, payload: bytes = b"{}") -> SubmitWord:
    """Submit one job."""
    (answer,) = await store.jobs.submit([Submission(new_job_id(), TYPE, payload)])
    return answer.word


async def test_calls_of_one_tick_share_a_round_trip(valkey: EmbeddedStore, namespace: str) -> None:
    """Reads and verbs of any kind, from any number of callers."""
    async with counted(valkey, namespace) as (store, proxy):
        ids = [new_job_id() for _ in range(50)]

        await asyncio.gather(
            *(store.views.get([job_id]) for job_id in ids),
            store.jobs.cancel([CancelAsk(ids[0], "x")]),
            store.types.paused(),
            store.ping(),
        )

    assert proxy.round_trips == 1


async def test_submissions_of_one_tick_share_a_script_call(valkey: EmbeddedStore, namespace: str) -> None:
    """A hundred requests that arrive together are one call of submit."""
    async with counted(valkey, namespace) as (store, proxy):
        words = await asyncio.gather(*(submit(store) for _ in range(100)))

    assert words == [SubmitWord.OK] * 100
    assert (proxy.script_calls, proxy.round_trips) == (1, 1)


async def test_submissions_of_ticks_on_end_share_a_script_call(valkey: EmbeddedStore, namespace: str) -> None:
    """Requests that are read one after the other, without a pause, are one call of submit."""
    async with counted(valkey, namespace) as (store, proxy):
        calls = []
        for _ in range(10):
            calls.append(asyncio.ensure_future(submit(store)))
            await asyncio.sleep(0)
        words = await asyncio.gather(*calls)

    assert words == [SubmitWord.OK] * 10
    assert proxy.script_calls == 1


async def test_what_a_worker_writes_behind_goes_out_in_one_round_trip(valkey: EmbeddedStore, namespace: str) -> None:
    """Starts, reports and outcomes of every kind, gathered as the worker's flusher does."""
    async with counted(valkey, namespace) as (store, proxy):
        worker, job = new_worker_id(), new_job_id()

        await asyncio.gather(
            store.jobs.start(worker, [Started(job, "1-a")]),
            store.jobs.report(worker, [Report(job, "1-a", 0.5)]),
            store.jobs.settle(worker, [Completed(job, "1-a", b"1"), Released(job, "1-a")]),
        )

    assert proxy.round_trips == 1


async def test_what_is_not_sent_does_not_say_so() -> None:
    """Nobody listens at the address."""
    told: list[str] = []
    async with open_store("redis://127.0.0.1:1", "x") as store:
        with pytest.raises(StoreUnavailable):
            await store.jobs.claim(new_worker_id(), 1, {TYPE: 1}, 1, sent=lambda: told.append("sent"))

    assert told == []


async def test_calls_made_during_a_round_trip_share_the_next_one(valkey: EmbeddedStore, namespace: str) -> None:
    """Under load round trips grow in size and not in number."""
    async with counted(valkey, namespace) as (store, proxy):
        first = asyncio.create_task(submit(store))
        for _ in range(5):
            await asyncio.sleep(0)

        others = await asyncio.gather(*(submit(store) for _ in range(50)))

        assert await first is SubmitWord.OK
        assert others == [SubmitWord.OK] * 50

    assert proxy.round_trips <= 2


async def test_a_cancelled_caller_does_not_disturb_the_others(valkey: EmbeddedStore, namespace: str) -> None:
    """Its client has gone; the rest of the batch is answered, and its own job may or may not be stored."""
    async with counted(valkey, namespace) as (store, _):
        callers = [asyncio.create_task(submit(store)) for _ in range(10)]
        readers = [asyncio.create_task(store.views.get([new_job_id()])) for _ in range(10)]
        await asyncio.sleep(0)
        callers[3].cancel()
        readers[3].cancel()

        words = await asyncio.gather(*callers, return_exceptions=True)
        reads = await asyncio.gather(*readers, return_exceptions=True)
        after = await submit(store)

    assert isinstance(words.pop(3), asyncio.CancelledError)
    assert isinstance(reads.pop(3), asyncio.CancelledError)
    assert (words, reads, after) == ([SubmitWord.OK] * 9, [[None]] * 9, SubmitWord.OK)


async def test_text_without_utf8_fails_its_own_caller_only(valkey: EmbeddedStore, namespace: str) -> None:
    """A lone surrogate from outside must neither fail nor hang whoever shares the round trip."""
    async with counted(valkey, namespace) as (store, _):
        bad = asyncio.create_task(store.jobs.cancel([CancelAsk(new_job_id(), "x", "\ud800")]))
        good = asyncio.create_task(store.jobs.cancel([CancelAsk(new_job_id(), "x")]))

        results = await asyncio.wait_for(asyncio.gather(bad, good, return_exceptions=True), 5)

    assert isinstance(results[0], UnicodeEncodeError)
    assert results[1] == [CancelWord.NOT_FOUND]


async def test_every_caller_hears_that_the_store_is_away(namespace: str) -> None:
    """None is left waiting."""
    async with open_store("redis://127.0.0.1:1", namespace) as store:
        errors = await asyncio.wait_for(
            asyncio.gather(*(submit(store) for _ in range(5)), store.ping(), return_exceptions=True), 5
        )

    assert [type(error) for error in errors] == [StoreUnavailable] * 6


async def test_a_lost_connection_is_tried_once_more_and_not_for_ever(valkey: EmbeddedStore, namespace: str) -> None:
    """The call is sent twice at most; whoever waits may repeat it."""
    async with counted(valkey, namespace) as (store, proxy):
        proxy.cut = True

        with pytest.raises(StoreUnavailable):
            await submit(store)

    # Each new connection says hello before it sends the call, and is cut at that.
    assert proxy.round_trips == 2


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([], []),
        ([1] * 200, [200]),
        ([1] * 201, [200, 1]),
        ([1] * 450, [200, 200, 50]),
        ([BYTES_PER_CALL], [1]),
        ([BYTES_PER_CALL + 1], [1]),
        ([BYTES_PER_CALL - 1, 1, 1], [2, 1]),
        ([1, BYTES_PER_CALL + 1, 1], [1, 1, 1]),
        ([BYTES_PER_CALL // 2] * 5, [2, 2, 1]),
    ],
)
def test_a_call_has_at_most_200_items_and_8_mib(sizes: list[int], runs: list[int]) -> None:
    """An item that is larger by itself goes alone; none is lost or moved."""
    found = list(split(sizes, lambda size: size))

    assert [len(run) for run in found] == runs
    assert [size for run in found for size in run] == sizes


def test_the_weight_of_a_command_is_about_what_it_sends() -> None:
    """Texts and bytes by their length, numbers a little."""
    assert weight(["EVALSHA", b"12345", 1, 2.5]) == 7 + 5 + 8 + 8


async def test_large_payloads_are_sent_over_several_calls(valkey: EmbeddedStore, namespace: str) -> None:
    """A batch of 20 MiB is stored whole."""
    ids: list[JobId] = [new_job_id() for _ in range(5)]
    payload = b'"' + b"x" * 4 * 1024 * 1024 + b'"'

    async with counted(valkey, namespace) as (store, _):
        answers = await store.jobs.submit([Submission(job_id, TYPE, payload) for job_id in ids])
        stored = [await store.views.payload(job_id) for job_id in ids]

    assert [answer.word for answer in answers] == [SubmitWord.OK] * 5
    assert stored == [payload] * 5
