"""Every page in both themes passes axe (https://github.com/dequelabs/axe-core)."""

from __future__ import annotations

import asyncio
import json

import pytest
from axe_playwright_python.sync_playwright import Axe

from emp_core.ids import new_job_id
from emp_core.jobs import Submission
from emp_core.store import open_store
from emp_server.settings import ServerSettings
from support.browser import Tab
from support.serving import ANYTHING, WORDS, RunningServer, register

pytestmark = pytest.mark.slow

ERROR = b'{"kind":"ValueError","message":"no","traceback":"line 1"}'


@pytest.fixture
def paths(settings: ServerSettings, server: RunningServer) -> list[str]:
    """Fill the store with something for every page, and give the pages' addresses."""

    async def fill() -> list[str]:
        async with open_store(settings.redis_url, settings.namespace) as store:
            await store.types.announce([WORDS, ANYTHING])
            worker = await register(
                store, plugins=[{"distribution": "p", "state": "failed", "why": "w", "traceback": "t"}]
            )
            ids = [new_job_id() for _ in range(4)]
            await store.jobs.submit([Submission(job_id, "any.thing", b'{"a": 1}', tags=("one",)) for job_id in ids])
            await worker.fail(await worker.start("any.thing"), ERROR)
            await worker.report(await worker.start("any.thing"), 0.5, "half", b'{"at":1,"level":"ERROR","message":"m"}')
            jobs = [f"/jobs/{job_id}" for job_id in ids]
            types = ["/types", "/types/text.words", "/types/text.words/run", "/types/any.thing/run"]
            return [
                "/",
                "/jobs",
                *jobs,
                *types,
                "/workers",
                f"/workers/{worker.worker_id}",
                "/system",
                "/login",
                "/docs",
                "/jobs/nope",
            ]

    return asyncio.run(fill())


def violations(tab: Tab) -> list[tuple[str, list[str]]]:
    """Give what axe finds on the page that is open."""
    tab.evaluate(f"{Axe().axe_script};1")
    found = json.loads(tab.evaluate("axe.run().then((result) => JSON.stringify(result.violations))"))
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_a_violation(server: RunningServer, paths: list[str], tab: Tab, dark: bool):
    found = {}
    tab.look(dark=dark)

    for path in paths:
        tab.go(server.url + path)
        found[path] = violations(tab)
    tab.troubles = [trouble for trouble in tab.troubles if "404" not in trouble]

    assert {path: some for path, some in found.items() if some} == {}


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_on_the_way_to_an_act_has_a_violation(server: RunningServer, tab: Tab, dark: bool):
    """Tick all jobs of the list; the page that asks, then the one that says what came of it."""
    found = {}
    tab.look(dark=dark)
    tab.go(f"{server.url}/jobs")
    tab.click("[data-all] input")

    found["ticked"] = violations(tab)
    tab.follow("button[value=cancel]")
    found["asked"], asked = violations(tab), tab.text("h1")
    tab.follow("form.run button.primary")
    found["done"], done = violations(tab), tab.text("h1")

    assert (asked, done) == ("Cancel 4 jobs?", "Done")
    assert {page: some for page, some in found.items() if some} == {}
