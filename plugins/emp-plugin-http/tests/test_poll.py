"""http.poll against a real service."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from emp_plugin_http import POLL
from emp_plugin_http.exchange import exchange
from emp_plugin_http.poll import Poll
from emp_plugin_http.poll import poll as perform
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.testing import Cancelled, Completed, Failed, FakeContext, JobRun, Retry, run_job
from support.http_service import Asked, Reply, Service


def payload(service: Service, **fields: Any) -> dict[str, Any]:
    usual = {
        "submit": {"url": f"{service.url}/work", "json_body": {"n": 1}},
        "status_url": f"{service.url}/work/{{id}}",
        "interval_seconds": 0.05,
        "timeout_seconds": 5,
    }
    return usual | fields


def poll(service: Service, handle: Any = None, cancel_at: float | None = None, **fields: Any) -> JobRun:
    return run_job(POLL, payload(service, **fields), handle=handle, cancel_at=cancel_at)


def code(run: JobRun) -> Any:
    assert run.error is not None, run.result
    return run.error.get("code")


@pytest.fixture
def work(service: Service) -> Service:
    """Let the service take work under the id 7, which is done at the third look."""
    service.json("/work", {"id": 7}, status=202)
    service.json("/work/7", {"status": "waiting"}, {"status": "running", "p": 50}, {"status": "done", "out": [1, None]})
    return service


def test_work_is_submitted_once_and_asked_after_until_it_is_done(work: Service):
    run = poll(work, result_pointer="/out", progress_pointer="/p", progress_full=100)

    assert run.result == {"id": "7", "state": "done", "result": [1, None], "taken_up": False}
    assert (work.count("POST", "/work"), work.count("GET", "/work/7")) == (1, 3)
    assert [each.message for each in run.progress] == ["waiting", "running", "done"]
    assert run.progress[1].fraction == 0.5
    assert run.handle == {"id": "7"}


def test_work_that_was_submitted_before_is_taken_up(work: Service):
    run = poll(work, handle={"id": "7"})

    assert run.result["taken_up"] is True
    assert work.count("POST", "/work") == 0


def test_work_that_the_service_has_forgotten_is_submitted_again(work: Service):
    run = poll(work, handle={"id": "gone"})

    assert (run.result["id"], run.result["taken_up"]) == ("7", False)
    assert work.count("POST", "/work") == 1
    assert run.handle == {"id": "7"}


@pytest.mark.parametrize("handle", ["7", {"id": 7}, {"other": "7"}, [], 0])
def test_a_handle_of_another_kind_is_none(work: Service, handle: Any):
    assert poll(work, handle=handle).result["taken_up"] is False


def test_work_that_failed_fails_the_job_and_is_not_taken_up_again(work: Service):
    work.json("/work/7", {"status": "failed", "error": "no ink"})

    run = poll(work)

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert run.error["message"] == "the work failed (failed): no ink"
    assert run.handle is None


def test_states_that_are_no_words_are_named_as_json(service: Service):
    service.json("/work", {"ticket": {"no": "a/b"}})
    service.json("/work/a%2Fb", {"ready": False}, {"ready": True})

    run = poll(service, id_pointer="/ticket/no", state_pointer="/ready", done=["true"])

    assert run.result["state"] == "true"


@pytest.mark.parametrize("answer", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": [1]}, []])
def test_an_answer_without_an_id_fails_and_begins_no_work_again(service: Service, answer: Any):
    service.json("/work", answer)

    run = poll(service)

    assert isinstance(run.outcome, Failed)
    assert code(run) == "no_id"


def test_a_submission_that_is_refused_says_why(service: Service):
    service.routes["/work"] = Reply(422, body=b"too large")
    assert isinstance(poll(service).outcome, Failed)

    service.routes["/work"] = Reply(503)
    assert isinstance(poll(service).outcome, Retry)


def test_a_service_in_trouble_is_asked_again_within_the_attempt(work: Service):
    answers = iter([Reply(503), Reply(429, {"Retry-After": "0"}), Reply(200, body=b'{"status": "done"}')])
    work.routes["/work/7"] = lambda _: next(answers)

    assert isinstance(poll(work).outcome, Completed)
    assert work.count("POST", "/work") == 1


def test_after_its_patience_the_attempt_ends_and_the_next_goes_on(work: Service):
    work.routes["/work/7"] = Reply(503)

    run = poll(work, patience_seconds=0.2)

    assert isinstance(run.outcome, Retry)
    assert code(run) == "status_503"
    assert run.handle == {"id": "7"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"<html>", "not_json"), (b'{"status": NaN}', "not_json"), (b"[" * 100_000, "not_json"), (b"{}", "no_state")],
    ids=["html", "NaN", "deep", "no state"],
)
def test_a_status_that_cannot_be_read_is_asked_for_again_later(work: Service, body: bytes, expected: str):
    work.routes["/work/7"] = Reply(200, body=body)

    run = poll(work)

    assert isinstance(run.outcome, Retry)
    assert code(run) == expected


def test_a_result_that_is_not_there_is_told(work: Service):
    assert code(poll(work, result_pointer="/nowhere")) == "no_result"


def test_calling_the_job_off_calls_the_work_off(work: Service):
    work.json("/work/7", {"status": "running", "p": 0.5})
    work.routes["/work/7/stop"] = Reply(204)

    run = poll(
        work,
        cancel_at=0.5,
        progress_pointer="/p",
        cancel={"url": f"{work.url}/work/{{id}}/stop", "method": "DELETE"},
    )

    assert isinstance(run.outcome, Cancelled)
    assert work.count("DELETE", "/work/7/stop") == 1
    assert run.handle is None


@pytest.mark.anyio
@pytest.mark.parametrize(("goes_on", "calls", "handle"), [(False, 1, None), (True, 0, {"id": "7"})])
async def test_an_attempt_that_ends_while_it_submits_still_learns_the_id(
    work: Service, goes_on: bool, calls: int, handle: Any
):
    """It calls the work off or, where another attempt follows, leaves it the id."""
    asked, answered = threading.Event(), threading.Event()

    def slow(_: Asked) -> Reply:
        asked.set()
        answered.wait(10)
        return Reply(202, body=b'{"id": 7}')

    work.routes["/work"] = slow
    work.routes["/work/7/stop"] = Reply(204)
    stop = {"url": f"{work.url}/work/{{id}}/stop", "method": "DELETE"}
    async with exchange() as resources:
        job = FakeContext(job_type=POLL.name, resources=resources)
        attempt = asyncio.create_task(perform(Poll.model_validate(payload(work, cancel=stop)), job))
        await asyncio.to_thread(asked.wait, 10)
        job.request_cancel(handed_over=goes_on)
        attempt.cancel()
        await asyncio.wait({attempt}, timeout=0.2)
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await attempt

    assert work.count("DELETE", "/work/7/stop") == calls
    assert job.handle == handle


def test_a_service_that_does_not_take_the_call_off_holds_nobody_up(work: Service):
    work.json("/work/7", {"status": "running", "p": 0.5})

    run = poll(work, cancel_at=0.5, progress_pointer="/p", cancel={"url": "http://127.0.0.1:1/", "method": "DELETE"})

    assert isinstance(run.outcome, Cancelled)


def test_the_id_cannot_lead_elsewhere(service: Service):
    """An id of `../admin` or `x?y` stays one segment of the path."""
    service.json("/work", {"id": "../a?b#c"})

    def status(asked: Asked) -> Reply:
        return Reply(200, body=b'{"status": "done"}')

    service.routes["/work/..%2Fa%3Fb%23c"] = status

    assert isinstance(poll(service).outcome, Completed)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"status_url": "http://x/"}, "/status_url"),
        ({"id_pointer": "id"}, "/id_pointer"),
        ({"id_pointer": "/~2"}, "/id_pointer"),
        ({"done": []}, "/done"),
        ({"interval_seconds": 0}, "/interval_seconds"),
    ],
)
def test_a_payload_that_cannot_work_is_refused(service: Service, fields: dict[str, Any], pointer: str):
    run = poll(service, **fields)

    assert run.error is not None
    assert [fault["pointer"] for fault in run.error["errors"]] == [pointer]


def test_the_contract_of_plugins_is_kept():
    findings = check_job_type(POLL)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
