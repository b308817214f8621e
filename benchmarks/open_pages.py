"""Open pages of the monitor in a browser while 10,000 jobs a second pass; say how calm they and their server stay."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from benchmarks.figures import percentile
from benchmarks.flood import Passed, flooded
from benchmarks.lines import Line
from benchmarks.processes import Program
from support.browser import Tab, find_chromium, running_browser

PAGES: Final = ("/", "/jobs")
QUIET: Final = 6.0
"""Seconds for which the open pages are watched before."""
STORM: Final = 20.0
"""Seconds for which jobs pass."""
JOBS_A_SECOND: Final = 10_000
TOLD_A_SECOND: Final = 3.0
"""A few: how often an open page may be told to fetch itself."""
LONGEST_TASK: Final = 200.0
"""Milliseconds for which the page's thread may be busy with one thing: what takes longer is felt as a hitch."""
BUSY_PERCENT: Final = 10.0
"""Of the time, how much of it a page's thread may spend in tasks of more than 50 ms."""
SERVER_PERCENT: Final = 50.0
"""Of a core, for the server's process."""
ANSWER: Final = 200.0
"""Milliseconds: the 95th percentile of small questions to the same server."""
PROBE_EVERY: Final = 0.1

# Before the page's own scripts: what it hears, draws and fetches, and for how long its thread is busy.
_WATCH: Final = """(() => {
  const blank = () => ({ told: 0, drawn: 0, frames: 0, gap: 0, tasks: [] });
  let last = performance.now();
  window.seenAfresh = () => { performance.clearResourceTimings(); last = performance.now(); window.seen = blank(); };
  window.seen = blank();
  const Real = EventSource;
  window.EventSource = class extends Real {
    constructor(...given) { super(...given); this.addEventListener("changed", () => { seen.told += 1; }); }
  };
  new PerformanceObserver((list) => seen.tasks.push(...list.getEntries().map((each) => each.duration)))
    .observe({ type: "longtask" });
  const frame = (at) => {
    seen.gap = Math.max(seen.gap, at - last); last = at; seen.frames += 1; requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  addEventListener("DOMContentLoaded", () => new MutationObserver(() => { seen.drawn += 1; })
    .observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true }));
})()"""
_SEEN: Final = """({ ...seen, fetches: performance.getEntriesByType("resource")
  .filter((each) => each.initiatorType === "fetch").map((each) => each.duration) })"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened in a page within so many seconds; times in milliseconds."""

    path: str
    seconds: float
    told: int
    drawn: int
    frames: int
    gap: float
    tasks: Sequence[float]
    fetches: Sequence[float]

    def lines(self) -> Iterator[Line]:
        """Give what is told of it."""
        name = f"{self.path}:"
        yield Line(f"{name} told that something changed, times a second", self.told / self.seconds, "", TOLD_A_SECOND)
        yield Line(f"{name} fetched itself, times a second", len(self.fetches) / self.seconds, "", TOLD_A_SECOND)
        yield Line(f"{name} drawn anew, times a second", self.drawn / self.seconds, "", TOLD_A_SECOND)
        yield Line(f"{name} a fetch, median", percentile(self.fetches or [0.0], 50), "ms")
        yield Line(f"{name} longest stretch of its thread", max(self.tasks, default=0.0), "ms", LONGEST_TASK)
        yield Line(
            f"{name} its thread busy over 50 ms at a stretch", sum(self.tasks) / self.seconds / 10, "%", BUSY_PERCENT
        )
        yield Line(f"{name} frames a second", self.frames / self.seconds)
        yield Line(f"{name} longest gap between two frames", self.gap, "ms")


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happens: the server, the store's channel of updates with what is published there, and jobs that end."""

    server: Program
    url: str
    redis_url: str
    channel: str
    publications: Sequence[str]
    moves_per_job: float
    end_some: Callable[[], Awaitable[object]]


async def measure(scene: Scene) -> list[tuple[str, list[Line]]]:
    """Watch open pages while little happens, then while 10,000 jobs a second pass. Gives two tables."""
    with ExitStack() as open_pages:
        tabs = await asyncio.to_thread(lambda: open_pages.enter_context(_tabs(scene.url)))
        quiet = [line for seen in (await _watched(scene, tabs, QUIET))[0] for line in seen.lines()]
        rate = round(JOBS_A_SECOND * scene.moves_per_job)
        # Somewhat more than is to be reached: the last burst is not whole.
        async with flooded(scene.redis_url, scene.channel, scene.publications, round(rate * 1.02)) as passed:
            pages, server = await _watched(scene, tabs, STORM)
        storm = [*_flood_lines(passed, scene), *(line for seen in pages for line in seen.lines()), *server]
    return [("open pages, quiet", [line for line in quiet if line.goal]), ("open pages, while jobs pass", storm)]


def _flood_lines(passed: Passed, scene: Scene) -> Iterator[Line]:
    yield Line("moves of jobs published a second", passed.rate)
    jobs = passed.rate / scene.moves_per_job
    yield Line("that is jobs a second, from submission to end", jobs, at_least=JOBS_A_SECOND)


@contextmanager
def _tabs(url: str) -> Iterator[list[Tab]]:
    """Open each page in a tab of its own."""
    binary = find_chromium()
    if binary is None:
        raise SystemExit("this needs chromium on the PATH")
    with running_browser(binary) as browser, ExitStack() as tabs:
        opened = [tabs.enter_context(browser.tab()) for _ in PAGES]
        for tab, path in zip(opened, PAGES, strict=True):
            tab.before_scripts(_WATCH)
            tab.go(url + path)
            tab.wait_for_text("Live", "[data-status]")
        yield opened


async def _watched(scene: Scene, tabs: Sequence[Tab], seconds: float) -> tuple[list[Seen], list[Line]]:
    """Give what was seen in each page within some seconds, in which a few jobs end, and how the server fared."""
    for tab in tabs:
        await asyncio.to_thread(tab.evaluate, "seenAfresh()")
    began, cpu = time.monotonic(), scene.server.cpu_seconds()
    answers = await _probed(scene, began + seconds)
    passed = time.monotonic() - began
    cpu = scene.server.cpu_seconds() - cpu
    found: list[dict[str, Any]] = [await asyncio.to_thread(tab.evaluate, _SEEN) for tab in tabs]
    seen = [Seen(path=path, seconds=passed, **each) for path, each in zip(PAGES, found, strict=True)]
    return seen, [
        Line("server: share of a core", cpu / passed * 100, "%", SERVER_PERCENT),
        Line("server: memory", scene.server.memory_mib(), "MiB"),
        Line("server: GET /v1/whoami, p95", percentile(answers, 95), "ms", ANSWER),
    ]


async def _probed(scene: Scene, until: float) -> list[float]:
    """Let jobs end, so that the pages change, and ask the server small questions; gives milliseconds."""
    times = []
    async with httpx2.AsyncClient(base_url=scene.url, timeout=30, trust_env=False) as client:
        while time.monotonic() < until:
            await scene.end_some()
            for _ in range(5):
                began = time.perf_counter()
                (await client.get("/v1/whoami")).raise_for_status()
                times.append((time.perf_counter() - began) * 1e3)
                await asyncio.sleep(PROBE_EVERY)
    return times


def moves_per_job(publications: Sequence[str]) -> float:
    """Give how many updates were published for each job that ended."""
    updates = [json.loads(line)["status"] for publication in publications for line in publication.splitlines()]
    ended = sum(status in {"completed", "failed"} for status in updates)
    return len(updates) / ended
