"""The table that says what becomes of a job whose attempt raised, and the error that is kept of it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from emp_core.errors import PayloadFault
from emp_core.jobs import Backoff, Cancelled, Failed, OnWorkerLost, Reason, Released, Retry
from emp_worker import JobCancelled, JobError, JobType
from emp_worker.error_json import error_json
from emp_worker.failures import (
    AttemptTimedOut,
    ChildDied,
    ChildGone,
    HandlerQuit,
    PayloadRefused,
    ResultRefused,
    ResultTooLarge,
)
from emp_worker.outcome import outcome_of
from support.attempts import JOB_ID, a_claimed_job


class Nothing(BaseModel):
    """A payload without fields."""


async def echo(payload: Nothing) -> None: ...


ECHO = JobType("text.echo", echo)
LAST = a_claimed_job(attempt=3)


def described(error: BaseException) -> dict[str, Any]:
    return json.loads(error_json(error))


def raised(error: BaseException) -> BaseException:
    """Raise an error, so that it has a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - any error, for its traceback
        return caught


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PayloadRefused("no"), Reason.INVALID_PAYLOAD),
        (ResultRefused("no"), Reason.INVALID_RESULT),
        (ResultTooLarge("no"), Reason.RESULT_TOO_LARGE),
        (JobError("no", retryable=False), Reason.ERROR),
        (JobError("no", retryable=False, retry_after=5), Reason.ERROR),
    ],
)
def test_what_another_attempt_would_not_mend_fails_at_once(error: Exception, reason: Reason):
    outcome = outcome_of(error, a_claimed_job(), ECHO, 0.5)

    assert isinstance(outcome, Failed)
    assert (outcome.job_id, outcome.token, outcome.reason) == (JOB_ID, "7-abc", reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no"), Reason.ERROR),
        (JobError("no"), Reason.ERROR),
        (TimeoutError("the handler's own"), Reason.ERROR),
        (HandlerQuit("no"), Reason.ERROR),
        (asyncio.CancelledError(), Reason.ERROR),
        (BaseExceptionGroup("several", [SystemExit(1)]), Reason.ERROR),
        (AttemptTimedOut("ran longer than 3 s"), Reason.TIMEOUT),
    ],
)
def test_anything_else_is_tried_again_while_attempts_are_left(error: BaseException, reason: Reason):
    first, last = outcome_of(error, a_claimed_job(), ECHO, 0.5), outcome_of(error, LAST, ECHO, 0.5)

    assert isinstance(first, Retry)
    assert isinstance(last, Failed)
    assert first.reason == last.reason == reason


@pytest.mark.parametrize(("attempt", "unit", "seconds"), [(1, 0.5, 2), (2, 0.5, 4), (1, 0, 1.6), (1, 1, 2.4)])
def test_the_wait_doubles_and_is_spread(attempt: int, unit: float, seconds: float):
    outcome = outcome_of(ValueError(), a_claimed_job(attempt=attempt), ECHO, unit)

    assert isinstance(outcome, Retry)
    assert outcome.delay == timedelta(seconds=seconds)


def test_the_submissions_backoff_wins_over_the_types():
    job_type = JobType("text.echo", echo, backoff=Backoff(base=timedelta(seconds=10)))
    job = a_claimed_job(backoff=Backoff(base=timedelta(seconds=1)))

    own, of_type = (
        outcome_of(ValueError(), job, job_type, 0.5),
        outcome_of(ValueError(), a_claimed_job(), job_type, 0.5),
    )

    assert isinstance(own, Retry)
    assert isinstance(of_type, Retry)
    assert (own.delay, of_type.delay) == (timedelta(seconds=1), timedelta(seconds=10))


@pytest.mark.parametrize(
    ("wish", "delay"),
    [(30, 30), (timedelta(minutes=1), 60), (0, 0), (-5, 0), (float("nan"), 2), (float("inf"), 366 * 86_400)],
)
def test_the_handlers_own_wish_wins_over_the_backoff(wish: Any, delay: float):
    outcome = outcome_of(JobError("later", retry_after=wish), a_claimed_job(), ECHO, 0.5)

    assert isinstance(outcome, Retry)
    assert outcome.delay == timedelta(seconds=delay)


def test_a_handler_that_stopped_when_asked_leaves_a_cancelled_job():
    assert outcome_of(JobCancelled(), a_claimed_job(), ECHO, 0.5) == Cancelled(JOB_ID, "7-abc")


@pytest.mark.parametrize("digest", ["", ECHO.digest])
def test_a_payload_that_was_checked_against_this_schema_or_none_is_invalid(digest: str):
    outcome = outcome_of(PayloadRefused("no"), a_claimed_job(schema_digest=digest), ECHO, 0.5)

    assert isinstance(outcome, Failed)


def test_a_payload_that_another_version_accepted_goes_back_uncharged_for_a_while():
    outcome = outcome_of(PayloadRefused("no"), a_claimed_job(schema_digest="other", refusals=9), ECHO, 0.5)

    assert outcome == Released(JOB_ID, "7-abc", delay=timedelta(seconds=5))


def test_a_payload_that_was_refused_ten_times_fails_and_says_which_versions_disagree():
    job = a_claimed_job(schema_digest="0123456789abcdef", refusals=10)

    outcome = outcome_of(PayloadRefused("no", faults=[PayloadFault("/a", "missing")]), job, ECHO, 0.5)

    assert isinstance(outcome, Failed)
    assert outcome.reason is Reason.INVALID_PAYLOAD
    error = json.loads(outcome.error)
    assert "0123456789abcdef" in error["message"]
    assert ECHO.digest in error["message"]
    assert error["errors"] == [{"pointer": "/a", "message": "missing"}]


def test_an_error_keeps_its_kind_message_and_traceback():
    error = described(raised(ValueError("out of range")))

    assert (error["kind"], error["message"]) == ("ValueError", "out of range")
    assert "test_outcome.py" in error["traceback"]
    assert error["traceback"].endswith("ValueError: out of range\n")


def test_a_job_error_keeps_its_code():
    assert described(JobError("no", code="quota"))["code"] == "quota"


def test_a_job_error_keeps_what_is_wrong_where():
    error = described(JobError("no", errors={"/workflow/3": "no such node"}))

    assert error["errors"] == [{"pointer": "/workflow/3", "message": "no such node"}]


def test_an_error_of_the_worker_has_no_traceback():
    assert "traceback" not in described(raised(AttemptTimedOut("too long")))


def test_a_handler_that_quit_is_described_by_what_it_raised():
    quit_ = HandlerQuit("the handler raised SystemExit")
    quit_.__cause__ = raised(SystemExit(3))

    assert (described(quit_)["kind"], described(quit_)["message"]) == ("SystemExit", "3")


def test_a_long_message_is_cut():
    assert len(described(ValueError("x" * 10_000))["message"]) == 2_000


def test_of_a_long_traceback_the_end_is_kept():
    error = described(raised(ValueError("é" * 50_000 + "the end")))

    assert len(error["traceback"].encode()) <= 16 * 1024
    assert error["traceback"].endswith("the end\n")


class _Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("even this")


class _Odd(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307 - what the test is about


class _Text(str):
    __slots__ = ()

    def __getitem__(self, _: object) -> str:
        raise RuntimeError("cannot be cut")


class _BadText(Exception):
    def __str__(self) -> str:
        return _Text("text")


def _recursive() -> BaseException:
    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError as error:
        return error
    raise AssertionError


def _circular() -> BaseException:
    one, other = raised(ValueError("one")), raised(ValueError("other"))
    one.__cause__, other.__cause__ = other, one
    return one


@pytest.mark.parametrize(
    "error",
    [
        raised(_Mute()),
        raised(_Odd()),
        raised(_BadText()),
        raised(ValueError("a\ud800b")),
        raised(ValueError("\x00\x1b[31m")),
        raised(ValueError(b"\xff")),
        raised(ExceptionGroup("several", [ValueError("\udfff"), _Mute()])),
        raised(JobError("no", code="\ud800" * 100)),
        raised(JobError("no", code=object())),  # type: ignore[arg-type]  # what the test is about
        raised(JobError("no", errors={"/a": "\ud800", "/b": None})),  # type: ignore[dict-item]  # what the test is about
        _recursive(),
        _circular(),
        raised(type("Long" * 100, (Exception,), {})()),
    ],
    ids=lambda error: type(error).__name__.encode("ascii", "replace").decode()[:20],
)
def test_the_error_is_valid_json_in_utf8_whatever_the_exception_does(error: BaseException):
    text = error_json(error).decode("utf-8")

    assert {"kind", "message", "traceback"} <= json.loads(text).keys()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"attempt": 7, "max_attempts": 10, "losses": 0}, (Retry, Reason.ERROR)),
        ({"attempt": 7, "max_attempts": 10, "losses": 1}, (Retry, Reason.ERROR)),
        ({"attempt": 3, "max_attempts": 10, "losses": 2}, (Failed, Reason.POISONED)),
        ({"attempt": 2, "max_attempts": 10, "losses": 0, "is_suspect": True}, (Retry, Reason.ERROR)),
        ({"attempt": 2, "max_attempts": 10, "losses": 1, "is_suspect": True}, (Failed, Reason.POISONED)),
        ({"attempt": 3, "max_attempts": 3, "losses": 2}, (Failed, Reason.ERROR)),
        ({"attempt": 1, "max_attempts": 9, "on_worker_lost": OnWorkerLost.FAIL}, (Failed, Reason.WORKER_LOST)),
    ],
)
def test_the_death_of_a_child_is_charged_and_the_third_loss_is_poison(fields, expected):
    died = ChildDied("the child process of the handler ended with exit code 7", output=["last words"])

    outcome = outcome_of(died, a_claimed_job(**fields), ECHO, 0.5)

    assert (type(outcome), outcome.reason, outcome.is_loss) == (*expected, True)
    assert json.loads(outcome.error) == {"kind": "ChildDied", "message": died.detail, "output": ["last words"]}


def test_a_child_that_was_gone_before_the_attempt_began_is_no_loss():
    outcome = outcome_of(ChildGone("the child process was gone"), a_claimed_job(losses=2), ECHO, 0.5)

    assert (type(outcome), outcome.is_loss) == (Retry, False)
