"""Streams: the job as it is, then each change, ending with the final one; and the stream of everything."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
from redis.asyncio import Redis

from support.plain_http import asking
from support.waiting import wait_until_async

from .conftest import running, submit

pytestmark = pytest.mark.anyio


class Stream:
    """The events of one open stream."""

    def __init__(self, answer):
        self.headers = answer.headers
        self._lines = answer.aiter_lines()

    async def event(self):
        """Give the next event as (name, id, data); comments and `retry` are passed over. None at the end."""
        fields: dict[str, list[str]] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields.setdefault(name, []).append(value)
            elif "data" in fields:
                [name], ids = fields["event"], fields.get("id", [""])
                return name, ids[0], msgspec.json.decode("\n".join(fields["data"]))
            else:
                fields.clear()
        return None

    async def line(self):
        """Give the next line."""
        return await anext(self._lines)

    async def rest(self):
        """Give all events until the end."""
        events = []
        while (event := await self.event()) is not None:
            events.append(event)
        return events


@asynccontextmanager
async def stream(client, path):
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        yield Stream(answer)


async def test_a_stream_begins_with_the_job_as_it_is(client):
    job_id = await submit(client)

    async with stream(client, f"/v1/jobs/{job_id}/events") as events:
        name, event_id, job = await events.event()

    assert events.headers["content-type"].startswith("text/event-stream")
    assert (events.headers["cache-control"], events.headers["x-accel-buffering"]) == ("no-store", "no")
    assert (name, job) == ("job", (await client.get(f"/v1/jobs/{job_id}")).json())
    assert event_id


async def test_each_change_is_streamed_and_the_final_one_ends_it(client, worker):
    job_id = await submit(client)

    async with stream(client, f"/v1/jobs/{job_id}/events") as events:
        await events.event()
        job = await worker.start("any.thing")
        await worker.report(job, 0.5, "half")
        await worker.complete(job, b'{\n"a":\r\n1}')
        seen = await events.rest()

    updates = [data for name, _, data in seen if name == "job_update"]
    assert [update["status"] for update in updates] == ["claimed", "in_progress", "in_progress", "completed"]
    assert (updates[2]["progress"], updates[2]["message"]) == (0.5, "half")
    assert set(updates[0]) == {"type", "timestamp", "job_id", "job_type", "status", "progress", "message"}
    name, _, final = seen[-1]
    assert (name, final["state"], final["result"]) == ("job", "completed", {"a": 1})


async def test_the_stream_of_a_job_that_has_ended_shows_it_and_ends(client, worker):
    job_id = await submit(client)
    await worker.complete(await worker.start("any.thing"), b"1")

    async with stream(client, f"/v1/jobs/{job_id}/events") as events:
        seen = await events.rest()

    assert [(name, data["state"]) for name, _, data in seen] == [("job", "completed")]


async def test_the_stream_of_a_job_that_is_not_kept_any_more_just_ends(settings, store):
    quick = settings.model_copy(update={"stream_keep_alive": timedelta(milliseconds=50)})
    with running(quick) as server:
        client = asking(server.url)
        async with client, stream(client, f"/v1/jobs/{await submit(client)}/events") as events:
            _, _, job = await events.event()
            async with Redis.from_url(settings.redis_url) as admin:
                keys = [key async for key in admin.scan_iter(f"*{settings.namespace}*:job:{job['id']}")]
                await admin.delete(*keys)

            assert await events.rest() == []


async def test_a_stream_says_how_soon_to_come_back(client):
    async with stream(client, f"/v1/jobs/{await submit(client)}/events") as events:
        assert await events.line() == "retry: 1000"


async def test_a_silent_stream_says_that_it_lives(settings, store):
    quick = settings.model_copy(update={"stream_keep_alive": timedelta(milliseconds=50)})
    with running(quick) as server:
        client = asking(server.url)
        async with client, stream(client, f"/v1/jobs/{await submit(client)}/events") as events:
            await events.event()

            assert await events.line() == ": still here"


async def test_a_client_that_leaves_frees_its_place(client, server):
    async with stream(client, f"/v1/jobs/{await submit(client)}/events") as events:
        await events.event()
        assert server.listeners == 1

    async def free():
        return server.listeners == 0

    await wait_until_async(free, timeout=2)


async def test_a_server_that_stops_ends_its_streams_promptly(settings, store):
    with running(settings) as server:
        client = asking(server.url)
        async with (
            client,
            stream(client, f"/v1/jobs/{await submit(client)}/events") as one,
            stream(client, "/v1/events") as everything,
        ):
            await one.event()
            started = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))

            assert await one.rest() == []
            assert await everything.rest() == []

            await stopping
            assert time.monotonic() - started < 3


async def test_the_stream_of_everything_has_jobs_and_workers(client, worker):
    async with stream(client, "/v1/events") as events:
        await events.line()
        job_id = await submit(client)
        await worker.start("any.thing")
        names = []
        while "worker_status" not in names or "job_update" not in names:
            name, _, data = await events.event()
            names.append(name)
            assert data.get("job_id") in {job_id, None}


async def test_the_stream_of_everything_can_be_cut_to_a_type_and_a_state(client, worker):
    async with stream(client, "/v1/events?job_type=text.words&state=claimed") as events:
        await events.line()
        await submit(client)
        wanted = (await client.post("/v1/jobs", json={"job_type": "text.words", "payload": {"text": "x"}})).json()["id"]
        await worker.start("any.thing")
        await worker.start("text.words")

        name, _, update = await events.event()

    assert (name, update["job_id"], update["status"]) == ("job_update", wanted, "claimed")


@pytest.mark.parametrize("query", ["colour=red", "state=" + "x" * 100])
async def test_a_filter_that_is_not_understood_is_refused(client, query):
    assert (await client.get(f"/v1/events?{query}")).status_code == 400


@pytest.mark.parametrize("last", ["", "1-0", "what ever", "\N{SNOWMAN}".encode()])
async def test_who_comes_back_is_shown_the_job_as_it_is_first(client, worker, last):
    """A honest resume: what was missed is not made up, whatever the client says that it heard last."""
    job_id = await submit(client)
    async with stream(client, f"/v1/jobs/{job_id}/events") as events:
        await events.event()
    job = await worker.start("any.thing")
    await worker.report(job, 0.25, "a quarter")

    headers = {"last-event-id": last}
    async with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        name, _, shown = await Stream(answer).event()

    assert (name, shown["state"], shown["progress"]["message"]) == ("job", "in_progress", "a quarter")


async def test_every_event_has_an_id(client, worker):
    job_id = await submit(client)
    async with stream(client, f"/v1/jobs/{job_id}/events") as of_job, stream(client, "/v1/events") as of_all:
        await of_job.event()
        await worker.complete(await worker.start("any.thing"))
        ids = [event_id for _, event_id, _ in await of_job.rest()]
        ids += [(await of_all.event())[1] for _ in range(3)]

    assert len(ids) >= 6
    assert all(ids)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events?state=failed", "/ui/live"])
async def test_every_silent_stream_says_that_it_lives(settings, store, path):
    quick = settings.model_copy(update={"stream_keep_alive": timedelta(milliseconds=50)})
    with running(quick) as server:
        client = asking(server.url)
        async with client, stream(client, path) as events:
            while await events.line() != ": still here":
                pass


async def test_where_messages_are_missing_the_stream_of_everything_says_so(settings, client, server):
    """The server's subscription is cut off; when it stands again, who listens should read what it needs."""
    async with stream(client, "/v1/events") as events:
        await wait_until_async(lambda: _listens(server))
        async with Redis.from_url(settings.redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")

        while (await events.event())[0] != "gap":
            pass
        job_id = await submit(client)
        name, _, update = await events.event()

    assert (name, update["job_id"], update["status"]) == ("job_update", job_id, "pending")


async def test_what_happened_while_messages_were_missing_is_in_the_stream_of_a_job(settings, client, server, worker):
    job_id = await submit(client)
    async with stream(client, f"/v1/jobs/{job_id}/events") as events:
        await events.event()
        async with Redis.from_url(settings.redis_url) as admin:
            await admin.client_kill_filter(_type="pubsub")
            await worker.complete(await worker.start("any.thing"), b"1")

        seen = await events.rest()

    assert (seen[-1][0], seen[-1][2]["state"], seen[-1][2]["result"]) == ("job", "completed", 1)


async def _listens(server) -> bool:
    return server.listeners == 1
