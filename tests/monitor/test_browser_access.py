"""What people do in a real browser with workers, long lists and keys; and that hostile text acts nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from emp_core.api_keys import Scope, new_key
from emp_core.ids import new_job_id
from emp_core.jobs import Announcement, Submission
from emp_core.store import Store, open_store
from emp_server.settings import ServerSettings
from support.browser import Tab
from support.serving import ANYTHING, RunningServer, register, running

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"`${alert(3)}\u202e{{7*7}}"
Fill = Callable[[Callable[[Store], Awaitable[object]]], object]


@pytest.fixture
def fill(settings: ServerSettings) -> Fill:
    """Give a function that lets another one loose on the store."""

    def act(change: Callable[[Store], Awaitable[object]]) -> object:
        async def run() -> object:
            async with open_store(settings.redis_url, settings.namespace) as store:
                return await change(store)

        return asyncio.run(run())

    return act


@pytest.fixture
def closed(settings: ServerSettings) -> Iterator[RunningServer]:
    """Run a server that asks for a key."""
    with running(settings.model_copy(update={"require_key": True})) as server:
        yield server


def test_a_worker_is_drained(server: RunningServer, known_types: None, fill: Fill, tab: Tab):
    async def start(store: Store) -> str:
        return (await register(store)).worker_id

    worker_id = fill(start)
    tab.go(f"{server.url}/workers")
    tab.follow(f"a[href='/workers/{worker_id}']")

    tab.follow("form[action$=drain] button")
    assert "nobody else serves any.thing, text.words" in tab.text()
    tab.follow("form.run button.primary")

    tab.wait_for_text("draining", "h1")
    assert tab.evaluate("document.querySelector('form[action$=drain]')") is None


def test_a_long_list_is_paged_and_filtered(server: RunningServer, known_types: None, fill: Fill, tab: Tab):
    async def submit(store: Store) -> None:
        jobs = [Submission(new_job_id(), name, b"1") for name in ["any.thing"] * 70 + ["text.words"] * 3]
        await store.jobs.submit(jobs)

    fill(submit)
    ids = "[...document.querySelectorAll('tbody a.id')].map((a) => a.title)"
    tab.go(f"{server.url}/jobs?state=pending&job_type=any.thing")
    first = tab.evaluate(ids)

    tab.follow("a[rel=next]")
    second = tab.evaluate(ids)

    assert (len(first), len(second), len({*first, *second})) == (50, 20, 70)
    tab.go(f"{server.url}/jobs?state=pending")
    tab.evaluate("document.querySelector('select[name=job_type]').value = 'text.words'")
    tab.follow("form.filters button")
    assert len(tab.evaluate(ids)) == 3
    assert "job_type=text.words" in tab.evaluate("location.search")


def test_somebody_logs_in_works_and_logs_out(closed: RunningServer, known_types: None, fill: Fill, tab: Tab):
    key, text = new_key("night-shift", [Scope.OPERATE])
    fill(lambda store: store.api_keys.add(key))
    tab.go(f"{closed.url}/types/any.thing")
    assert tab.evaluate("location.pathname + location.search") == "/login?to=/types/any.thing"

    tab.fill("#key", "emp_wrong")
    tab.follow("form.run button.primary")
    tab.troubles.clear()  # the browser logs the answer 401 of a page as an error
    assert "Not logged in" in tab.text()
    tab.fill("#key", text)
    tab.follow("form.run button.primary")

    assert tab.evaluate("location.pathname") == "/types/any.thing"
    assert "night-shift" in tab.text("header")
    assert tab.evaluate("document.cookie") == "", "a script can read the session"
    tab.follow("form[action$=pause] button")
    tab.follow("form.run button.primary")
    assert "paused" in tab.text("h1")
    tab.follow("form[action='/logout'] button")
    tab.go(f"{closed.url}/types/any.thing")
    assert tab.evaluate("location.pathname") == "/login"


def test_an_open_page_of_a_session_that_ends_leads_to_the_login(
    closed: RunningServer, known_types: None, fill: Fill, tab: Tab
):
    key, text = new_key("night-shift", [Scope.READ])
    fill(lambda store: store.api_keys.add(key))
    tab.go(f"{closed.url}/login?to=/jobs")
    tab.fill("#key", text)
    tab.follow("form.run button.primary")
    tab.wait_for_text("Live", "[data-status]")

    fill(lambda store: store.api_keys.revoke(key.key_id))

    tab.wait_for("location.pathname == '/login'", 30)


def test_hostile_text_in_every_field_is_shown_as_text(server: RunningServer, fill: Fill, tab: Tab):
    schema = {"type": "object", "title": EVIL, "properties": {EVIL: {"type": "string", "description": EVIL}}}
    evil = Announcement(
        job_type="evil.type",
        digest="d",
        distribution=EVIL,
        version=EVIL,
        title=EVIL,
        description=EVIL,
        payload_schema=schema,
        result_schema=schema,
        examples=({EVIL: EVIL},),
        options={EVIL: EVIL},
    )

    async def make(store: Store) -> list[str]:
        await store.types.announce([evil, ANYTHING])
        worker = await register(
            store,
            name=EVIL,
            host=EVIL,
            version=EVIL,
            types={"evil.type": "d"},
            plugins=[{"distribution": EVIL, "version": EVIL, "state": "failed", "why": EVIL, "traceback": EVIL}],
        )
        ids = [new_job_id() for _ in range(3)]
        payload = json.dumps({EVIL: EVIL}).encode()
        await store.jobs.submit([Submission(job_id, "evil.type", payload, tags=(EVIL[:64],)) for job_id in ids])
        error = {"kind": EVIL, "code": EVIL, "message": EVIL, "traceback": EVIL, "output": [EVIL]}
        await worker.fail(await worker.start("evil.type"), json.dumps(error).encode())
        await worker.complete(await worker.start("evil.type"), payload)
        line = json.dumps({"at": 1, "level": EVIL, "message": EVIL}).encode()
        await worker.report(await worker.start("evil.type"), 0.5, EVIL, line)
        jobs = [f"/jobs/{job_id}" for job_id in ids]
        return [*jobs, "/workers", f"/workers/{worker.worker_id}"]

    made = fill(make)
    assert isinstance(made, list)

    for path in ("/", "/jobs", "/types", "/types/evil.type", "/types/evil.type/run", "/system", "/docs", *made):
        tab.go(server.url + path)
        assert tab.evaluate("document.querySelectorAll('main img, main script').length") == 0, path
    assert "<script>alert(2)</script>" in tab.text()
    tab.go(f"{server.url}{made[0]}")
    tab.wait_for_text("Live", "[data-status]")
