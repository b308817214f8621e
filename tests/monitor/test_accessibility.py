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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_a_violation(server: RunningServer, paths: list[str], tab: Tab, dark: bool):
    found, axe = {}, Axe().axe_script
    tab.look(dark=dark)

    for path in paths:
        tab.go(server.url + path)
        tab.evaluate(f"{axe};1")
        violations = tab.evaluate("axe.run().then((result) => JSON.stringify(result.violations))")
        if json.loads(violations):
            found[path] = [(each["id"], [node["html"] for node in each["nodes"]]) for each in json.loads(violations)]
    tab.troubles = [trouble for trouble in tab.troubles if "404" not in trouble]

    assert found == {}
