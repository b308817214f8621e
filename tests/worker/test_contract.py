"""The contract that `emp plugin check` holds job types against."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, WithJsonSchema

from emp_worker import JobError, JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict


class Text(BaseModel):
    """A text to count."""

    text: str = Field(description="the text", max_length=10)


async def count(payload: Text) -> int:
    if payload.text == "bad":
        raise JobError("cannot count this")
    return len(payload.text)


def faults(job_type: JobType, *, run: bool = False) -> list[tuple[str, str]]:
    return [(each.check, each.message) for each in check_job_type(job_type, run=run) if each.verdict is Verdict.FAILED]


def made(payload: Any = Text, **options: Any) -> JobType:
    return JobType("text.count", count, payload=payload, **{"examples": [{"text": "hello"}], **options})


def test_a_sound_job_type_passes_every_check():
    findings = check_job_type(made(), run=True)

    assert [(each.check, each.verdict) for each in findings] == [
        ("schema", Verdict.OK),
        ("descriptions", Verdict.OK),
        ("examples", Verdict.OK),
        ("run", Verdict.OK),
        ("cancel", Verdict.OK),
    ]


def test_a_field_without_a_description_is_named():
    class Bare(BaseModel):
        text: str
        size: int = Field(0, description="how large")

    assert faults(made(Bare)) == [("descriptions", "Bare.text has no description; give Field(description=...)")]


def test_a_field_of_a_nested_model_is_named_too():
    class Inner(BaseModel):
        """Something inside."""

        depth: int

    class Outer(BaseModel):
        inner: Inner

    assert faults(made(Outer, examples=[{"inner": {"depth": 1}}])) == [
        ("descriptions", "Inner.depth has no description; give Field(description=...)")
    ]


def test_a_type_without_examples_is_told_to_give_some():
    assert [check for check, _ in faults(made(examples=[]))] == ["examples"]


def test_an_example_that_does_not_fit_is_named_with_its_place():
    ((check, message), *_) = faults(made(examples=[{"text": "hello"}, {"text": 7}]))

    assert check == "examples"
    assert message.startswith("example 2 does not fit the payload's model: text: ")


def test_an_example_that_the_model_takes_but_the_schema_refuses_is_named():
    class Lax(BaseModel):
        size: int = Field(description="how large")

    assert [message.partition(":")[0] for _, message in faults(made(Lax, examples=[{"size": "7"}]))] == [
        "example 1 does not fit the payload's schema"
    ]


def test_a_schema_that_is_no_json_schema_is_refused():
    class Odd(BaseModel):
        size: Annotated[int, WithJsonSchema({"type": "whole number"})] = Field(description="how large")

    assert [check for check, _ in faults(made(Odd, examples=[{"size": 1}]))] == ["schema"]


def test_handlers_run_on_their_examples_only_when_asked():
    job_type = made(examples=[{"text": "bad"}])

    assert faults(job_type) == []
    assert faults(job_type, run=True) == [("run", "example 1 did not complete: JobError: cannot count this")]


def test_without_the_servers_validator_the_check_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "jsonschema_rs", None)

    skipped = [each for each in check_job_type(made()) if each.verdict is Verdict.SKIPPED]

    assert ["emp-jobs[server]" in each.message for each in skipped] == [True]


def test_an_async_handler_that_keeps_the_loop_is_told_to_await():
    async def block(payload: Text) -> int:
        time.sleep(1.2)  # noqa: ASYNC251 - that is the fault
        return 1

    (message,) = [told for check, told in faults(JobType("a.block", block, examples=[{"text": "x"}]), run=True)]

    assert message.startswith("example 1 blocked the event loop for 1.")


def test_a_handler_that_goes_on_when_it_is_called_off_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emp_worker.examples.CANCEL_BOUND", 0.2)

    def deaf(payload: Text) -> int:
        time.sleep(0.4)
        return 1

    found = faults(JobType("a.deaf", deaf, examples=[{"text": "x"}]), run=True)

    assert [check for check, _ in found] == ["cancel"]
    assert "call job.raise_if_cancelled() between the steps" in found[0][1]


def test_an_example_that_takes_too_long_is_called_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("emp_worker.examples.RUN_BOUND", 0.1)

    async def wait(payload: Text) -> None:
        await asyncio.Event().wait()

    found = faults(JobType("a.wait", wait, examples=[{"text": "x"}]), run=True)

    assert found == [("run", "example 1 was called off after 0.1 s; give one that is through sooner")]


@pytest.mark.parametrize(
    ("examples", "why"),
    [
        ([], "there is no example to perform"),
        ([{"text": "bad"}], "example 1 was not called off, it ended with JobError: cannot count this"),
    ],
)
def test_to_call_off_what_never_ran_is_skipped_and_no_success(examples: list[Any], why: str):
    (cancel,) = [each for each in check_job_type(made(examples=examples), run=True) if each.check == "cancel"]

    assert (cancel.verdict, cancel.message) == (Verdict.SKIPPED, why)
