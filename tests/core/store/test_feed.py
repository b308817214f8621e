"""The feed: what is published, in which form, and what a follower sees of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog

from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import Report, Submission
from emp_core.messages import JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage
from emp_core.store import GAP, PASSED, Event, Store, open_store
from emp_core.store.embedded import EmbeddedStore
from support.waiting import wait_until_async

from .conftest import OUTCOMES, TYPE, Engine, real

pytestmark = pytest.mark.anyio


async def test_a_follower_begins_with_a_gap(engine: Engine) -> None:
    """When it is given, the subscription stands: who reads the store then misses nothing."""
    async with engine.store.feed.subscribe() as events:
        first = await anext(events)
        job_id = await engine.submit()
        second = await anext(events)

    assert first is GAP
    assert isinstance(second, JobUpdateMessage)
    assert (second.job_id, second.status) == (job_id, "pending")


async def test_a_follower_hears_of_jobs_and_workers_in_the_spec_form(engine: Engine) -> None:
    """The three messages, each with what it is about."""
    heard: list[Event] = []

    async with engine.store.feed.subscribe(jobs=True, workers=True, available=True) as events:
        await anext(events)
        worker = await engine.worker()
        job_id = await engine.submit(payload=b'{"a": "\\u00e4"}', priority=-3)
        await engine.claim(worker)
        with anyio.fail_after(5):
            heard = [await anext(events) for _ in range(5)]

    kinds = {type(event) for event in heard}
    (offered,) = [event for event in heard if isinstance(event, JobAvailableMessage)]
    assert kinds == {JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage}
    assert (offered.job_id, offered.job_type, offered.priority) == (job_id, TYPE, -3)
    assert {event.job_type for event in heard if isinstance(event, JobUpdateMessage)} == {TYPE}
    assert offered.job_request_payload == '{"a": "\\u00e4"}'


async def test_a_follower_is_spared_the_jobs_that_do_not_concern_it(engine: Engine) -> None:
    """By their ids, unread: it is only said that there was something. Of workers it hears all the same."""
    ours, other = new_job_id(), new_job_id()
    async with engine.store.feed.subscribe(concerns=lambda job_id: job_id == ours) as events:
        await anext(events)
        await engine.submit(other)
        await engine.worker()
        await engine.submit(ours)
        with anyio.fail_after(5):
            heard = [await anext(events) for _ in range(3)]

    assert heard[0] is PASSED
    assert {type(event) for event in heard[1:]} == {JobUpdateMessage, WorkerStatusMessage}
    assert [event.job_id for event in heard if isinstance(event, JobUpdateMessage)] == [ours]


async def test_a_follower_hears_only_what_it_wants(engine: Engine) -> None:
    """Payloads, for one, go to nobody who did not ask for them."""
    async with engine.store.feed.subscribe(jobs=False, workers=True) as events:
        await anext(events)
        await engine.submit()
        worker = await engine.worker()
        event = await anext(events)

    assert isinstance(event, WorkerStatusMessage)
    assert event.worker_id == worker


@pytest.mark.parametrize("verb", ["complete", "fail", "retry", "release", "cancel"])
async def test_the_updates_of_one_call_are_one_publication(engine: Engine, verb: str) -> None:
    """A subscriber reads a hundred publications a second and not twenty thousand."""
    ids = [new_job_id() for _ in range(100)]
    worker = await engine.worker()

    async with engine.hear() as heard:
        await engine.submit(*ids)
        submitted = await heard.publications()
        jobs = await engine.claim(worker, 100)
        claimed = await heard.publications()
        if verb == "cancel":
            for job_id in ids:
                await engine.ask_cancel(job_id)
            await heard.publications()
        await engine.store.jobs.settle(worker, [OUTCOMES[verb](job.job_id, job.token) for job in jobs])
        settled = await heard.publications()

    for publications in (submitted, claimed, settled):
        assert len(publications) == 1
        assert {message.job_id for message in publications[0] if isinstance(message, JobUpdateMessage)} == set(ids)


@pytest.mark.parametrize(("size", "told"), [(4096, True), (4097, False)])
async def test_a_large_payload_is_left_out_of_the_message(engine: Engine, size: int, told: bool) -> None:
    """Up to 4 KiB go along, beyond that nothing does; also when the job becomes available again."""
    payload = b'"' + b"x" * (size - 2) + b'"'

    async with engine.hear("available") as heard:
        worker, job = await engine.claimed(payload=payload)
        await engine.write("release", worker, job.job_id, job.token)
        messages = await heard.messages()

    assert [message.job_request_payload for message in messages] == [payload.decode() if told else ""] * 2
    assert [message.payload_omitted for message in messages] == [not told] * 2


NAUGHTY = [
    "",
    '"quoted" \\ back',
    "line\nbreak\r\ttab",
    "\x00\x01\x1f\x7f",
    "ä 漢 \U0001f600 \u2028",
    "</script>",
    "%s",
]


@pytest.mark.parametrize("text", NAUGHTY)
async def test_any_text_makes_a_message_that_can_be_read(engine: Engine, text: str) -> None:
    """Lua writes the JSON by hand; whatever a handler says arrives as it said it."""
    worker, job = await engine.claimed()

    async with engine.hear() as heard:
        await engine.store.jobs.report(worker, [Report(job.job_id, job.token, 1 / 3, text)])
        (message,) = await heard.messages()

    assert (message.message, message.progress) == (text, 1 / 3)
    assert (await engine.job(job.job_id)).message == text


async def test_the_hand_written_json_has_exactly_the_fields_of_the_specification(engine: Engine) -> None:
    """No more and no fewer than the models say, and the time is the store's."""
    lines: dict[str, dict[str, Any]] = {}

    async with engine.hear("updates") as updates, engine.hear("available") as available, engine.hear("workers") as w:
        await engine.claimed()
        for heard in (updates, available, w):
            lines |= {line["type"]: line for line in await heard.raw()}

    models = (JobUpdateMessage, JobAvailableMessage, WorkerStatusMessage)
    assert {name: set(line) for name, line in lines.items()} == {
        model.model_fields["type"].default: set(model.model_fields) for model in models
    }
    assert all(abs(line["timestamp"] - time.time()) < 60 for line in lines.values())


async def test_every_verb_that_changes_a_job_says_so(engine: Engine) -> None:
    """The states of a job's life, as an observer hears them."""
    worker = await engine.worker()

    async with engine.hear() as heard:
        job_id = await engine.submit(delay=timedelta(seconds=1))
        await engine.pass_time(seconds=2)
        await engine.sweep()
        (job,) = await engine.claim(worker)
        await engine.write("start", worker, job_id, job.token)
        await engine.write("report", worker, job_id, job.token)
        await engine.write("retry", worker, job_id, job.token)
        await engine.pass_time(seconds=11)
        await engine.sweep()
        (job,) = await engine.claim(worker)
        await engine.lose(worker)
        worker = await engine.worker()
        (job,) = await engine.claim(worker)
        await engine.write("fail", worker, job_id, job.token)
        await engine.store.jobs.revive([job_id])
        await engine.ask_cancel(job_id)
        messages = await heard.messages()

    assert [message.status for message in messages] == [
        *("scheduled", "pending", "claimed", "in_progress", "in_progress", "scheduled"),
        *("pending", "claimed", "pending", "claimed", "failed", "pending", "cancelled"),
    ]
    assert messages[4].progress == 0.5
    assert messages[5].progress == 0.0


async def test_a_renewal_publishes_nothing(engine: Engine) -> None:
    """A thousand idle workers are silent."""
    worker = await engine.worker()

    async with engine.hear("workers") as heard:
        await engine.store.workers.renew(worker, 0.0)
        await engine.claim(worker)
        messages = await heard.messages()

    assert messages == []


async def test_what_is_no_message_is_passed_over(engine: Engine) -> None:
    """A stranger on the channel, or a newer EMP, does not end a follower."""
    async with engine.store.feed.subscribe() as events:
        await anext(events)
        await engine.client.publish(engine.keys.channel("updates"), b'nonsense\n{"type":"newer","timestamp":1}')
        job_id = await engine.submit()
        event = await anext(events)

    assert isinstance(event, JobUpdateMessage)
    assert event.job_id == job_id


async def test_what_concerns_nobody_is_said_once_for_a_publication(engine: Engine) -> None:
    """Ten jobs of one call are one word, unread; what concerns somebody is given as it is."""
    wanted = new_job_id()
    async with engine.store.feed.subscribe(concerns=lambda job_id: job_id == wanted) as events:
        await anext(events)
        await engine.store.jobs.submit([Submission(new_job_id(), TYPE, b"1") for _ in range(10)])
        await engine.store.jobs.submit([Submission(wanted, TYPE, b"1")])
        with anyio.fail_after(5):
            first, second = await anext(events), await anext(events)

    assert first is PASSED
    assert isinstance(second, JobUpdateMessage)
    assert second.job_id == wanted


@pytest.mark.parametrize("server", ["valkey", "redis_server"])
async def test_a_follower_that_was_cut_off_is_given_a_gap(
    server: str, namespace: str, request: pytest.FixtureRequest
) -> None:
    """The iteration goes on; where messages may be missing it says so, and then they come again."""
    store: EmbeddedStore = request.getfixturevalue(server)

    async with real(store.url, namespace) as engine, engine.store.feed.subscribe() as events:
        await anext(events)
        await engine.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        with anyio.fail_after(5):
            again = await anext(events)
        job_id = await engine.submit()
        event = await anext(events)

    assert again is GAP
    assert isinstance(event, JobUpdateMessage)
    assert event.job_id == job_id


@pytest.mark.parametrize("server", ["valkey", "redis_server"])
async def test_a_follower_leaves_no_subscription_behind(
    server: str, namespace: str, request: pytest.FixtureRequest
) -> None:
    """A thousand streams that ended cost nothing."""
    store: EmbeddedStore = request.getfixturevalue(server)

    async with real(store.url, namespace) as engine:
        channel = engine.keys.channel("updates")
        async with engine.store.feed.subscribe() as events:
            await anext(events)
            during = await engine.client.pubsub_numsub(channel)

        async def is_gone() -> bool:
            return bool(dict(await engine.client.pubsub_numsub(channel))[channel.encode()] == 0)

        assert dict(during) == {channel.encode(): 1}
        await wait_until_async(is_gone)


DATABASES = (
    ("redis://127.0.0.1:{port}", "redis://127.0.0.1:{port}/1"),
    ("redis://127.0.0.1:{port}/1", "redis://127.0.0.1:{port}/11"),
    ("redis://127.0.0.1:{port}?db=2", "redis://127.0.0.1:{port}/0"),
    ("unix://{path}", "unix://{path}?db=1"),
)
"""Pairs of databases of one store."""


@pytest.mark.parametrize("urls", DATABASES, ids=lambda urls: urls[1])
async def test_two_databases_of_one_store_do_not_hear_each_other(urls: tuple[str, str], namespace: str) -> None:
    """Channels know no database, so their names do; each follower hears its own on all three of them."""
    with EmbeddedStore(port=None if urls[0].startswith("unix") else 0) as server:
        place = {"port": server.url.rpartition(":")[2], "path": server.url.removeprefix("unix://")}
        here, there = (url.format(**place) for url in urls)
        async with (
            open_store(here, namespace) as store,
            open_store(there, namespace) as other,
            store.feed.subscribe(available=True) as events,
            other.feed.subscribe(available=True) as others,
        ):
            assert (await anext(events), await anext(others)) == (GAP, GAP)
            ours, theirs = [await acts(each) for each in (store, other)]
            with anyio.fail_after(5):
                heard, heard_there = [{about(await anext(each)) for _ in range(3)} for each in (events, others)]

    assert heard == ours
    assert heard_there == theirs


async def acts(store: Store) -> set[tuple[str, str]]:
    """Publish on every channel: submit a job and register a worker; give what is to be heard."""
    job_id, worker = new_job_id(), new_worker_id()
    await store.jobs.submit([Submission(job_id=job_id, job_type=TYPE, payload=b"{}")])
    await store.workers.register(worker, {})
    return {("job_available", job_id), ("job_update", job_id), ("worker_status", worker)}


def about(event: Event) -> tuple[str, str]:
    """Give the kind of a message, and the id that it is about."""
    assert isinstance(event, JobAvailableMessage | JobUpdateMessage | WorkerStatusMessage)
    return event.type, event.worker_id if isinstance(event, WorkerStatusMessage) else event.job_id


async def test_a_workers_messages_name_the_worker(engine: Engine) -> None:
    """Idle at registration, draining when asked, left at the end."""
    worker = new_worker_id()

    async with engine.hear("workers") as heard:
        await engine.store.workers.register(worker, {})
        await engine.store.workers.drain(worker)
        await engine.store.workers.leave(worker, "drained")
        messages = await heard.messages()

    assert [(message.worker_id, message.status) for message in messages] == [
        (worker, "idle"),
        (worker, "draining"),
        (worker, "left"),
    ]


async def test_a_store_that_says_nothing_at_all_is_noticed(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen store or half a connection is not taken for a quiet one."""
    monkeypatch.setattr("emp_core.store.feed.SILENCE", 0.1)

    with EmbeddedStore(port=0) as server:
        async with real(server.url, namespace) as engine, engine.store.feed.subscribe() as events:
            await anext(events)
            with structlog.testing.capture_logs() as logs:
                os.kill(server.pid, signal.SIGSTOP)
                hearing = asyncio.create_task(anext(events))
                await wait_until_async(lambda: said(logs))
                os.kill(server.pid, signal.SIGCONT)
                again = await hearing

    assert again is GAP


async def said(logs: list[Any]) -> bool:
    """Tell whether the feed said that it lost its connection."""
    return any(line["event"] == "feed_lost" for line in logs)
