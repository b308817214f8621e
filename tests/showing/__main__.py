"""Write docs/images: every page of the monitor in both themes, from a populated EMP (`make screenshots`)."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from emp_core.api_keys import Scope, new_key
from emp_core.cli.stack import Stack
from emp_core.client import EmpClient
from emp_core.store import open_store
from emp_core.store.embedded import EmbeddedStore
from showing.past import live_through_an_hour
from showing.present import Shown, announce_report, fill
from support.browser import Tab, find_chromium, running_browser
from support.waiting import wait_until

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LOG = IMAGES.parents[1] / "build" / "showing.log"
NAMESPACE = "showing"
WIDTH, HEIGHT = 1200, 860
COMMON = 128


def main() -> None:
    """Populate an EMP of its own, and take the pictures."""
    binary = find_chromium()
    if binary is None:
        raise SystemExit("this needs chromium on the PATH")
    IMAGES.mkdir(parents=True, exist_ok=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with EmbeddedStore() as store:
        asyncio.run(live_through_an_hour(store.url, NAMESPACE, random.Random(7)))
        asyncio.run(announce_report(store.url, NAMESPACE))
        with (
            LOG.open("wb") as log,
            Stack(store.url, NAMESPACE, output=log, grace=1.0) as stack,
            EmpClient(stack.url, patience=30.0) as client,
            running_browser(binary) as browser,
            browser.tab() as tab,
        ):
            wait_until(lambda: any(each.workers_online for each in client.job_types()), 30)
            shown = fill(client)
            for name, path in pages(shown, client):
                take(tab, name, stack.url + path)
            asyncio.run(ask_for_keys(store.url))
            wait_until(lambda: "/login" in address_after(tab, stack.url), 10)
            take(tab, "login", f"{stack.url}/login")


def pages(shown: Shown, client: EmpClient) -> Iterator[tuple[str, str]]:
    """Give the pages and their names."""
    worker = next(worker for worker in client.workers() if worker.name != "batch-7")
    yield "overview", "/"
    yield "jobs", "/jobs"
    yield "jobs-failed", "/jobs?state=failed"
    yield "job-running", f"/jobs/{shown.running}"
    yield "job-picture", f"/jobs/{shown.thumbnail}"
    yield "job-failed", f"/jobs/{shown.failed}"
    yield "types", "/types"
    yield "type", "/types/simulation.run"
    yield "run", "/types/image.thumbnail/run"
    yield "workers", "/workers"
    yield "worker", f"/workers/{worker.id}"
    yield "system", "/system"


def take(tab: Tab, name: str, address: str) -> None:
    """Take a picture of a page in both themes."""
    for theme in ("light", "dark"):
        tab.look(width=WIDTH, height=HEIGHT, dark=theme == "dark")
        tab.go(address)
        # A traceback names folders of this machine.
        tab.evaluate("document.querySelectorAll('.error details').forEach((each) => { each.open = false; })")
        file = IMAGES / f"{name}-{theme}.png"
        tab.screenshot(file, whole=False)
        make_small(file)


def make_small(file: Path) -> None:
    """Give a picture a palette: its most common colours as they are, so that no surface changes its tint."""
    with Image.open(io.BytesIO(file.read_bytes())) as opened:
        picture = opened.convert("RGB")
    counted = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    common = [channel for _, colour in counted[:COMMON] for channel in colour]
    others = (picture.quantize(256 - COMMON).getpalette() or [])[: 3 * (256 - COMMON)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(common + others)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)


def address_after(tab: Tab, address: str) -> str:
    """Give where an address leads."""
    tab.go(address)
    return str(tab.evaluate("location.pathname"))


async def ask_for_keys(redis_url: str) -> None:
    """Make a key, so that the server asks for one."""
    async with open_store(redis_url, NAMESPACE) as store:
        await store.api_keys.add(new_key("night-shift", [Scope.OPERATE])[0])


if __name__ == "__main__":
    main()
