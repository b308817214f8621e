"""What the client sends is what the caller gave, byte for byte."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from emp_core.client.submission import JobOptions, JobRequest, RawJson, chunks, envelope, payload_bytes
from emp_core.errors import InvalidPayload
from emp_core.jobs import Backoff


class Text(BaseModel):
    """A payload whose field has another name in its schema."""

    body: str = Field(alias="text")


class Number(BaseModel):
    """A payload with a number."""

    value: float = Field(serialization_alias="of the number")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_raw_json_goes_out_byte_for_byte(value):
    text = json.dumps(value, indent=3).encode()

    class Envelope(msgspec.Struct):
        job_type: str
        payload: msgspec.Raw

    sent = envelope(JobRequest("text.echo", RawJson(text)))

    assert bytes(msgspec.json.decode(sent, type=Envelope).payload) == text


def test_a_model_is_sent_under_the_names_of_its_schema():
    assert json.loads(payload_bytes(Text(text="hello"))) == {"text": "hello"}


@pytest.mark.parametrize("payload", [None, 5, "five", [1, 2], {"a": {"b": None}}])
def test_a_payload_is_anything_that_json_can_say(payload):
    assert json.loads(payload_bytes(payload)) == payload


def test_raw_json_cannot_write_into_the_envelope():
    with pytest.raises(InvalidPayload):
        payload_bytes(RawJson('1, "priority": 1000'))


@pytest.mark.parametrize("payload", [b"bytes", object(), {"a": object()}, "\ud800", RawJson("{"), RawJson("")])
def test_what_is_not_json_is_refused_before_it_is_sent(payload):
    with pytest.raises(InvalidPayload):
        payload_bytes(payload)


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (math.nan, ""),
        ({"a": [1, -math.inf]}, "/a/1"),
        (Number(value=math.nan), "/of the number"),
        ([Number(value=math.inf)], "/0/of the number"),
    ],
)
def test_a_number_that_json_has_not_is_refused_and_not_sent_as_null(payload, pointer):
    with pytest.raises(InvalidPayload, match="NaN or Infinity") as refused:
        payload_bytes(payload)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_an_envelope_holds_the_options_that_were_given_and_no_others():
    request = JobRequest(
        "text.echo",
        {},
        priority=5,
        delay=timedelta(minutes=1),
        timeout=2.5,
        backoff=Backoff(base=timedelta(seconds=1)),
        tags=["a", "b"],
    )

    sent = json.loads(envelope(request))

    assert sent == {
        "job_type": "text.echo",
        "priority": 5,
        "delay": 60.0,
        "timeout": 2.5,
        "backoff": {"base": 1.0, "factor": 2.0, "cap": 300.0, "jitter": 0.2},
        "tags": ["a", "b"],
        "payload": {},
    }


def test_a_moment_is_sent_with_its_offset():
    at = datetime(2027, 1, 2, 3, 4, tzinfo=UTC)

    sent = json.loads(envelope(JobRequest("text.echo", {}, run_at=at, expires_at=at)))

    assert sent["run_at"] == sent["expires_at"] == "2027-01-02T03:04:00+00:00"


def test_a_moment_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        envelope(JobRequest("text.echo", {}, run_at=datetime(2027, 1, 2)))  # noqa: DTZ001 - the fault under test


def test_a_key_of_the_callers_stays():
    assert JobRequest("text.echo", {}, idempotency_key="mine").keyed().idempotency_key == "mine"


def test_every_request_without_a_key_gets_its_own():
    request = JobRequest("text.echo", {})

    assert request.keyed().idempotency_key != request.keyed().idempotency_key


def test_batches_end_at_the_number_of_items():
    assert [len(batch) for batch in chunks([b"{}"] * 2500)] == [1000, 1000, 500]


def test_batches_end_at_the_number_of_bytes():
    batches = list(chunks([b"x" * 40] * 5, size=100))

    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert all(len(b"[" + b",".join(batch) + b"]") <= 100 for batch in batches)


def test_an_item_over_the_size_of_a_batch_goes_alone():
    assert [len(batch) for batch in chunks([b"x", b"x" * 200, b"x"], size=100)] == [1, 1, 1]


def test_the_options_of_submit_are_the_fields_of_a_request():
    assert set(JobOptions.__annotations__) | {"job_type", "payload"} == {each.name for each in fields(JobRequest)}
