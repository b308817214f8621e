"""What a child process prints is logged up to a rate; more is dropped, and said to be."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog

from emp_worker.failures import ChildDied
from emp_worker.isolation.output import KEPT_LINES, LINE_LIMIT, Output
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio


@dataclass
class Heard:
    """What was printed, in the order in which it came, and how much of it was dropped."""

    logged: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)

    def printed(self, line: str) -> None:
        """Note a line."""
        self.logged.append(line)
        self.last.append(line)

    def kept(self, lines: Sequence[str]) -> None:
        """Note the last of the dropped lines."""
        self.last.extend(lines)

    def dropped(self, lines: int, size: int) -> None:
        """Note how much was dropped."""
        self.lost.append((lines, size))


@asynccontextmanager
async def printing(heard: Heard) -> AsyncIterator[int]:
    """Yield a descriptor to print to; at the end all that was printed has been read."""
    read_end, write_end = os.pipe()
    loop = asyncio.get_running_loop()
    silent: asyncio.Future[None] = loop.create_future()
    await loop.connect_read_pipe(lambda: Output(heard, silent), os.fdopen(read_end, "rb", buffering=0))
    try:
        yield write_end
    finally:
        os.close(write_end)
    await asyncio.wait_for(silent, 10)


async def test_usual_output_is_logged_line_by_line() -> None:
    """Also what comes in parts, is longer than a line may be, or has no end."""
    heard = Heard()

    async with printing(heard) as output:
        for part in (b"one\ntw", b"o\n", b"x" * (LINE_LIMIT + 10), b"\n", b"\xff end"):
            os.write(output, part)
            await asyncio.sleep(0.01)  # so that each part is read for itself

    assert heard.logged == ["one", "two", "x" * LINE_LIMIT, "", "\\xff end"]
    assert heard.lost == []


async def test_output_beyond_its_rate_is_dropped_and_counted() -> None:
    """No line is unaccounted for, and the last ones are known."""
    heard = Heard()
    lines = [f"line {number:06}" for number in range(50_000)]

    async with printing(heard) as output:
        await asyncio.to_thread(os.write, output, "".join(f"{line}\n" for line in lines).encode())

    assert 1000 <= len(heard.logged) < 2000
    assert sum(count for count, _ in heard.lost) == len(lines) - len(heard.logged)
    assert heard.last[-KEPT_LINES:] == lines[-KEPT_LINES:]


async def test_large_lines_are_bounded_by_their_bytes() -> None:
    """A thousand lines of 4 KB would be 4 MB."""
    heard = Heard()

    async with printing(heard) as output:
        await asyncio.to_thread(os.write, output, (b"x" * 4000 + b"\n") * 1000)

    assert 100 < len(heard.logged) < 200
    assert sum(count for count, _ in heard.lost) == 1000 - len(heard.logged)


async def test_a_child_that_prints_a_million_lines_does_not_block_others(children) -> None:
    """The log says how many were dropped; the loop answers all the time."""
    lags: list[float] = []

    async def measure() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - before - 0.01)

    measuring = asyncio.create_task(measure())
    with structlog.testing.capture_logs() as logs:
        async with children() as bench:
            await bench.run("floods", json.dumps({"size": 1_000_000}).encode())

            async def have_come() -> bool:
                said = sum(entry["event"] == "child_said" for entry in logs)
                dropped = sum(entry["lines"] for entry in logs if entry["event"] == "child_output_dropped")
                return said + dropped == 1_000_000

            assert await wait_until_async(have_come, timeout=20)
    measuring.cancel()

    assert sum(entry["event"] == "child_said" for entry in logs) < 5_000
    assert sorted(lags)[-3] < 0.5


async def test_the_last_words_of_a_child_that_prints_much_are_kept(children) -> None:
    """They stand with the error, although they were printed too fast to be logged."""
    async with children() as bench:
        with pytest.raises(ChildDied) as died:
            await bench.run("floods", json.dumps({"size": 20_000, "text": "out of cheese"}).encode())

    assert died.value.output[-2:] == ("line 019999", "out of cheese")
