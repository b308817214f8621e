"""What a JobType reads from its handler, what it refuses, and what it announces."""

from __future__ import annotations

import functools
import math
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field, RootModel

from emp_worker import Backoff, InvalidJobType, JobContext, JobType


class Text(BaseModel):
    """A text to count."""

    text: str = Field(description="the text")


class Words(BaseModel):
    """How many there are."""

    words: int


async def count(payload: Text, job: JobContext) -> Words:
    """Count the words of a text.

    The rest is for readers of the code.
    """
    return Words(words=len(payload.text.split()))


def count_in_thread(payload: Text) -> Words:
    return Words(words=len(payload.text.split()))


def test_models_come_from_the_handlers_annotations():
    job_type = JobType("text.wordcount", count)

    assert job_type.payload is Text
    assert job_type.payload_schema["properties"]["text"]["description"] == "the text"
    assert job_type.result_schema is not None
    assert job_type.result_schema["title"] == "Words"


def test_given_models_win_over_the_annotations():
    async def handler(payload, job): ...

    job_type = JobType("text.wordcount", handler, payload=Text, result=Words)

    assert job_type.payload is Text
    assert job_type.result_schema is not None


def test_a_handler_without_a_result_annotation_may_return_anything():
    async def handler(payload: Text): ...

    assert JobType("text.wordcount", handler, payload=Text).result_schema is None


def test_an_annotation_that_only_type_checkers_see_spoils_nothing_else():
    namespace: dict[str, Any] = {"Text": Text}
    source = "async def handler(payload: 'Text', job: 'NotImportedAtRunTime') -> 'int': ..."
    exec(source, namespace)  # noqa: S102 - a module of its own, with names of its own

    assert JobType("text.wordcount", namespace["handler"]).payload is Text


@pytest.mark.parametrize(("handler", "mode"), [(count, "async"), (count_in_thread, "thread")])
def test_async_handlers_run_on_the_loop_and_others_in_threads(handler: Callable[..., Any], mode: str):
    assert JobType("text.wordcount", handler).isolation == mode


def test_a_partial_and_an_object_that_is_called_are_handlers_too():
    class Counter:
        async def __call__(self, payload: Text, job: JobContext) -> Words: ...

    def with_language(language: str, payload: Text) -> Words: ...

    called, partial = JobType("a", Counter()), JobType("b", functools.partial(with_language, "en"))

    assert (called.isolation, called.takes_job) == ("async", True)
    assert (partial.isolation, partial.takes_job, partial.payload) == ("thread", False, Text)


def test_a_root_model_is_a_payload():
    class Numbers(RootModel[list[int]]):
        pass

    assert JobType("a", count, payload=Numbers).payload_schema["type"] == "array"


@pytest.mark.parametrize(
    "name", ["", "Text.Count", "text count", "a" * 129, ".text", "tëxt", "text/count", "a:b", None]
)
def test_a_name_outside_the_alphabet_is_refused(name: Any):
    with pytest.raises(InvalidJobType, match="cannot name a job type"):
        JobType(name, count)


async def without_annotation(payload): ...


async def not_a_model(payload: dict[str, int]) -> None: ...


async def three(a: Text, b: int, c: int) -> None: ...


async def keyword_only(payload: Text, *, extra: int) -> None: ...


async def nothing() -> None: ...


async def unresolvable(payload: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - what the test is about


def generator(payload: Text) -> Iterator[int]:
    yield 1


async def async_generator(payload: Text) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (without_annotation, "annotate `payload`"),
        (not_a_model, "must be a pydantic model"),
        (three, "`(payload)` or `(payload, job)`"),
        (keyword_only, "keyword argument `extra`"),
        (nothing, "`(payload)` or `(payload, job)`"),
        (unresolvable, "import it at the top of the module"),
        (generator, "generator"),
        (async_generator, "generator"),
        ("a text", "give a function"),
    ],
)
def test_a_handler_that_cannot_be_one_is_refused_with_the_remedy(handler: Any, told: str):
    with pytest.raises(InvalidJobType) as refused:
        JobType("text.wordcount", handler)

    assert "job type text.wordcount: " in str(refused.value)
    assert told in str(refused.value)


def test_a_schema_that_cannot_be_built_is_refused():
    class Odd(BaseModel):
        field: Callable[[], int]

    with pytest.raises(InvalidJobType, match="JsonSchema"):
        JobType("a", count, payload=Odd)


def test_a_result_that_has_no_schema_is_refused():
    class Handle:
        pass

    with pytest.raises(InvalidJobType):
        JobType("a", count, result=Handle)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", "30"),
        ("progress_timeout", timedelta(days=400)),
        ("expires_in", 0),
        ("retention", -1),
        ("on_worker_lost", "ask"),
        ("on_worker_lost", None),
        ("max_attempts", 0),
        ("max_attempts", 1001),
        ("max_attempts", 1.5),
        ("max_attempts", True),
        ("concurrency", 0),
        ("payload_limit", 0),
        ("payload_limit", 17 * 1024 * 1024),
        ("backoff", Backoff(base=timedelta(0))),
        ("backoff", Backoff(factor=0.5)),
        ("backoff", Backoff(factor=float("inf"))),
        ("backoff", Backoff(jitter=2)),
        ("isolation", "fork"),
        ("examples", [object()]),
    ],
)
def test_a_rule_out_of_bounds_is_refused(field: str, value: Any):
    with pytest.raises(InvalidJobType):
        JobType("text.wordcount", count, **{field: value})


class Bounded(BaseModel):
    """A number whose default JSON has not."""

    ratio: float = math.inf


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"payload": Bounded}, "schema of the payload cannot be written as JSON: .*/properties/ratio/default"),
        ({"result": Bounded}, "schema of the result cannot be written as JSON: .*/properties/ratio/default"),
        ({"examples": [{"text": "a"}, {"text": math.nan}]}, "example 2 cannot be written as JSON: .*/text"),
        ({"examples": [Bounded()]}, "example 1 cannot be written as JSON: .*/ratio"),
    ],
    ids=["default of the payload", "default of the result", "example", "example that is a model"],
)
def test_a_number_that_json_has_not_is_refused_with_its_place(fields: dict[str, Any], place: str):
    with pytest.raises(InvalidJobType, match=place):
        JobType("text.wordcount", count, **fields)


@pytest.mark.parametrize("handler", [count, count_in_thread])
def test_either_kind_of_handler_may_ask_for_a_process(handler: Callable[..., Any]):
    job_type = JobType("text.wordcount", handler, isolation="process", memory_limit=256 * 1024 * 1024)

    assert (job_type.isolation, job_type.is_async) == ("process", handler is count)
    assert job_type.announcement("a", "1").options["memory_limit"] == 256 * 1024 * 1024
    assert job_type.announcement("a", "1").options["isolation"] == "process"


@pytest.mark.parametrize("field", [{"isolation": "process", "memory_limit": 1024}, {"memory_limit": 256 * 1024 * 1024}])
def test_a_memory_limit_that_cannot_hold_is_refused(field: dict[str, Any]):
    with pytest.raises(InvalidJobType, match="memory_limit"):
        JobType("text.wordcount", count, **field)


@pytest.mark.parametrize(("handler", "mode"), [(count, "thread"), (count_in_thread, "async")])
def test_a_mode_that_does_not_fit_the_handler_is_refused(handler: Callable[..., Any], mode: str):
    with pytest.raises(InvalidJobType, match="does not fit"):
        JobType("text.wordcount", handler, isolation=mode)


def test_a_lifespan_that_was_called_already_is_refused():
    with pytest.raises(InvalidJobType, match="give the function"):
        JobType("text.wordcount", count, lifespan=object())  # type: ignore[arg-type]  # what the test is about


def test_seconds_and_timedeltas_mean_the_same():
    assert JobType("a", count, timeout=1.5).timeout == JobType("a", count, timeout=timedelta(seconds=1.5)).timeout


def test_a_job_type_cannot_be_changed():
    job_type = JobType("text.wordcount", count)

    with pytest.raises(AttributeError):
        job_type.name = "other"  # type: ignore[misc]  # what the test is about


def test_an_announcement_says_what_the_server_needs():
    job_type = JobType(
        "text.wordcount",
        count,
        title="Word count",
        examples=[{"text": "one two"}, Text(text="three")],
        timeout=30,
        max_attempts=5,
        on_worker_lost="fail",
        backoff=Backoff(base=timedelta(seconds=1)),
    )

    announced = job_type.announcement("emp-plugin-wordcount", "0.1.0")

    assert (announced.job_type, announced.distribution, announced.version) == (
        "text.wordcount",
        "emp-plugin-wordcount",
        "0.1.0",
    )
    assert announced.title == "Word count"
    assert announced.description == "Count the words of a text."
    assert announced.examples == ({"text": "one two"}, {"text": "three"})
    assert announced.payload_schema == Text.model_json_schema()
    assert announced.options == {
        "timeout": 30.0,
        "max_attempts": 5,
        "on_worker_lost": "fail",
        "payload_limit": 16 * 1024 * 1024,
        "isolation": "async",
        "backoff": {"base": 1.0, "factor": 2.0, "cap": 300.0, "jitter": 0.2},
    }


def test_the_digest_is_the_same_in_every_process():
    code = """
from typing import Literal
from pydantic import BaseModel
from emp_worker import JobType
class Payload(BaseModel):
    kind: Literal["b", "a"]
    size: int | None = None
def handler(payload: Payload) -> dict[str, int]: ...
print(JobType("a", handler).digest)
"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1
    assert re.fullmatch(rb"[0-9a-f]{16}\n", digests.pop())


def test_the_digest_does_not_depend_on_the_distributions_version():
    job_type = JobType("text.wordcount", count)

    assert job_type.announcement("a", "1").digest == job_type.announcement("a", "2").digest


def test_the_digest_changes_with_the_schema():
    class More(Text):
        language: str = "en"

    assert JobType("a", count, payload=More).digest != JobType("a", count).digest
