"""An attempt in a child process: what goes out, what comes back, and what stays warm."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from emp_worker import JobError, JobType
from emp_worker.error_json import describe
from emp_worker.failures import ChildNotReady, PayloadRefused, ResultRefused, ResultTooLarge
from emp_worker.isolation import process
from emp_worker.isolation.seclusion import Seclusion
from support.attempts import KeptReports, a_context
from support.processes import is_alive
from support.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def test_a_child_is_reused_and_its_lifespan_entered_once(children, monkeypatch, tmp_path):
    mark = tmp_path / "mark"
    monkeypatch.setenv("HOSTILE_MARK", str(mark))

    async with children() as bench:
        first, second = [json.loads(await bench.run("who")) for _ in range(2)]

    assert first["pid"] == second["pid"] != os.getpid()
    assert (first["resources"], second["resources"]) == (1, 1)
    assert mark.read_text() == "exited with its helper"


async def test_attempts_leave_no_open_file_behind(children):
    async with children() as bench:
        seen = [json.loads(await bench.run("who"))["open_files"] for _ in range(5)]

    assert len(set(seen[1:])) == 1


async def test_async_and_sync_handlers_share_a_child(children):
    async with children() as bench:
        in_thread = int(await bench.run("who_in_thread"))
        on_loop = json.loads(await bench.run("who"))["pid"]

    assert in_thread == on_loop


async def test_progress_and_log_lines_come_through(children):
    kept = KeptReports()
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    context = a_context(kept, attempt=2, deadline=deadline)

    async with children() as bench:
        result = await bench.run("speaks", context=context)

    assert json.loads(result) == f"2 of 3 at {deadline}"
    assert kept.progresses == [(0.25, None), (None, "a quarter")]
    (line,) = kept.lines
    assert (line["level"], line["message"], line["attempt"]) == ("info", "a line ? with what no encoding takes", 2)


async def test_a_flood_of_progress_is_coalesced_and_its_end_arrives(children):
    kept = KeptReports()

    async with children() as bench:
        await bench.run("chatters", context=a_context(kept))

    assert kept.progresses[-1] == (1.0, "all of it")
    assert len(kept.progresses) < 1000


async def test_sixteen_mebibytes_go_out_and_come_back(children):
    text = json.dumps("x" * (16 * 1024 * 1024 - 100)).encode()

    async with children() as bench:
        result = await bench.run("echo", b'{"text": ' + text + b"}")

    assert result == text


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        ("echo", b'{"text": 5}', PayloadRefused),
        ("returns_much", b"{}", ResultTooLarge),
        ("returns_nothing_of_use", b"{}", ResultRefused),
        ("returns_another", b"{}", ResultRefused),
        ("returns_nan", b"{}", ResultRefused),
    ],
)
async def test_what_does_not_fit_is_refused_as_in_any_mode(children, name: str, payload: bytes, expected: type):
    async with children() as bench:
        with pytest.raises(expected) as refused:
            await bench.run(name, payload)
        await bench.run("echo")  # and the child goes on

    if name == "echo":
        assert [fault.pointer for fault in refused.value.faults] == ["/text"]
    if name == "returns_nan":
        assert [fault.pointer for fault in refused.value.faults] == ["/loss/1"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fails", "ValueError"),
        ("recurses", "RecursionError"),
        ("asks_to_exit", "SystemExit"),
        ("interrupted", "KeyboardInterrupt"),
    ],
)
async def test_what_a_handler_raises_is_its_attempts_error(children, name: str, kind: str):
    async with children() as bench:
        pid = int(await bench.run("who_in_thread"))
        with pytest.raises(JobError) as raised:
            await bench.run(name)
        after = int(await bench.run("who_in_thread"))

    described = describe(raised.value)
    assert described["kind"] == kind
    assert after == pid
    if name == "fails":
        assert described["message"] == "no luck"
        assert "in fails" in described["traceback"]


async def test_a_handlers_own_words_come_through(children):
    async with children() as bench:
        with pytest.raises(JobError) as raised:
            await bench.run("refuses")

    assert (raised.value.retryable, raised.value.retry_after) == (False, timedelta(seconds=7))
    assert (describe(raised.value)["code"], describe(raised.value)["message"]) == ("E1", "not today")


@pytest.mark.parametrize("name", ["closes_output", "moves", "changes_signals"])
async def test_what_a_handler_changes_is_put_back(children, name: str):
    async with children() as bench:
        before = json.loads(await bench.run("who"))
        await bench.run(name)
        after = json.loads(await bench.run("who"))

    assert after == before


async def test_a_few_threads_may_stay_and_many_cost_the_child(children):
    async with children() as bench:
        few = int(await bench.run("leaves_threads", b'{"size": 3}'))
        many = int(await bench.run("leaves_threads", b'{"size": 200}'))
        after = int(await bench.run("who_in_thread"))

    assert few == many != after
    assert not is_alive(many)


async def test_processes_that_a_handler_leaves_behind_end_with_its_job(children):
    async with children() as bench:
        pid = int(await bench.run("who_in_thread"))
        left = json.loads(await bench.run("leaves_processes"))
        alive = [each for each in left if is_alive(each)]
        after = int(await bench.run("who_in_thread"))

    assert alive == []
    assert after == pid


async def test_a_child_that_was_killed_while_idle_is_replaced(children):
    async with children() as bench:
        first = int(await bench.run("who_in_thread"))
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_alive(first))
        second = int(await bench.run("who_in_thread"))

    assert second != first


async def test_a_job_that_must_be_alone_gets_a_child_that_nobody_had_or_will_have(children):
    async with children() as bench:
        shared = int(await bench.run("who_in_thread"))
        async with bench.runners.place(bench.types["who_in_thread"], seclusion=Seclusion.ALONE) as place:
            alone = int(await place.run(bench.types["who_in_thread"], b"{}", a_context(KeptReports())))
        after = int(await bench.run("who_in_thread"))

    assert alone != shared == after


async def test_a_child_leaves_soon_after_a_handler_that_usually_runs_elsewhere(children, monkeypatch):
    """Else what its lifespan has loaded would be there twice; the next lost job finds it all the same."""
    monkeypatch.setattr(process, "GUESTS_STAY", 0.2)

    async with children() as bench:

        async def guest() -> int:
            async with bench.runners.place(bench.types["who_in_place"], seclusion=Seclusion.CHILD) as place:
                said = await place.run(bench.types["who_in_place"], b"{}", a_context(KeptReports()))
            return int(json.loads(said)["pid"])

        async def has_left() -> bool:
            return not is_alive(first)

        first, second = await guest(), await guest()
        await wait_until_async(has_left)

    assert first == second


async def test_a_type_that_has_changed_since_is_not_run(children):
    class Payload(BaseModel):
        another: int

    def handler(payload: Payload) -> int:
        return payload.another

    async with children() as bench:
        bench.types["echo"] = JobType("hostile.echo", handler, isolation="process", payload=Payload)
        with pytest.raises(ChildNotReady, match="restart the worker"):
            await bench.run("echo")


async def test_nothing_is_left_at_the_end(children):
    async with children() as bench:
        pid = int(await bench.run("who_in_thread"))

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
