"""The messages, exactly as the specification names their fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from emp_core.messages import BaseMessage, JobAvailableMessage, JobUpdateMessage, WorkerStatusMessage, parse_message

GOLDEN: dict[str, BaseMessage] = {
    '{"type":"job_available","timestamp":1.5,"job_id":"01arz3","job_type":"image.thumbnail","priority":-7,'
    '"job_request_payload":"{\\"a\\": [1e999, \\"\\u00e4\\"]}"}': JobAvailableMessage(
        timestamp=1.5,
        job_id="01arz3",
        job_type="image.thumbnail",
        priority=-7,
        job_request_payload='{"a": [1e999, "ä"]}',
    ),
    '{"type":"job_available","timestamp":1.5,"job_id":"01arz3","job_type":"image.thumbnail","priority":0,'
    '"job_request_payload":"","payload_omitted":true}': JobAvailableMessage(
        timestamp=1.5,
        job_id="01arz3",
        job_type="image.thumbnail",
        priority=0,
        job_request_payload="",
        payload_omitted=True,
    ),
    '{"type":"job_update","timestamp":1700000000.123,"job_id":"01arz3","job_type":"image.thumbnail",'
    '"status":"in_progress","progress":0.25,"message":"a quarter"}': JobUpdateMessage(
        timestamp=1700000000.123,
        job_id="01arz3",
        job_type="image.thumbnail",
        status="in_progress",
        progress=0.25,
        message="a quarter",
    ),
    '{"type":"worker_status","timestamp":2.0,"worker_id":"01w","status":"busy","job_id":"01arz3",'
    '"job_type":"image.thumbnail"}': WorkerStatusMessage(
        timestamp=2.0, worker_id="01w", status="busy", job_id="01arz3", job_type="image.thumbnail"
    ),
    '{"type":"worker_status","timestamp":2.0,"worker_id":"01w","status":"idle","job_id":null,"job_type":null}': (
        WorkerStatusMessage(timestamp=2.0, worker_id="01w", status="idle")
    ),
}

FIELDS: dict[type[BaseMessage], dict[str, Any]] = {
    BaseMessage: {"type": "string", "timestamp": "number"},
    JobAvailableMessage: {
        "type": "string",
        "timestamp": "number",
        "job_id": "string",
        "job_type": "string",
        "priority": "integer",
        "job_request_payload": "string",
        "payload_omitted": "boolean",
    },
    JobUpdateMessage: {
        "type": "string",
        "timestamp": "number",
        "job_id": "string",
        "job_type": "string",
        "status": "string",
        "progress": "number",
        "message": "string",
    },
    WorkerStatusMessage: {
        "type": "string",
        "timestamp": "number",
        "worker_id": "string",
        "status": "string",
        "job_id": ["string", "null"],
        "job_type": ["string", "null"],
    },
}


@pytest.mark.parametrize(("text", "message"), GOLDEN.items(), ids=lambda value: type(value).__name__)
def test_golden_json_is_read(text: str, message: BaseMessage) -> None:
    """Each becomes the message that its type names."""
    read = parse_message(text)

    assert read == message
    assert type(read) is type(message)


@pytest.mark.parametrize(("text", "message"), GOLDEN.items(), ids=lambda value: type(value).__name__)
def test_a_message_is_written_and_read_again(text: str, message: BaseMessage) -> None:
    """Nothing is lost on the way, and no field is added to the golden ones."""
    written = message.model_dump_json()

    assert parse_message(written) == message
    assert sorted(message.model_dump()) == sorted(parse_message(text).model_dump())


@pytest.mark.parametrize("model", FIELDS)
def test_the_fields_are_those_of_the_specification(model: type[BaseMessage]) -> None:
    """Their names and types; every one says what it is."""
    properties = model.model_json_schema()["properties"]

    def kind(schema: dict[str, Any]) -> Any:
        return schema["type"] if "type" in schema else [option["type"] for option in schema["anyOf"]]

    assert {name: kind(schema) for name, schema in properties.items()} == FIELDS[model]
    assert all(field.description or name == "type" for name, field in model.model_fields.items())


@pytest.mark.parametrize("message", GOLDEN.values(), ids=lambda message: type(message).__name__)
def test_a_message_cannot_be_changed(message: BaseMessage) -> None:
    """It is a fact."""
    with pytest.raises(ValidationError, match="frozen"):
        message.timestamp = 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"timestamp":1}',
        '{"type":"job_gone","timestamp":1}',
        '{"type":"job_update","timestamp":1,"job_id":"x","status":"pending","progress":0}',
        '{"type":"job_update","timestamp":"soon","job_id":"x","status":"pending","progress":0,"message":""}',
        '{"type":"job_update","timestamp":1,"job_id":"x","status":"pending","progress":0,"message":""',
        "\xff",
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    """An unknown type, a missing field, another type of value, no JSON."""
    with pytest.raises(ValidationError):
        parse_message(text)


def test_unknown_fields_are_passed_over() -> None:
    """A newer EMP may say more."""
    (text, message), *_ = GOLDEN.items()

    assert parse_message(text[:-1] + ',"newer":1}') == message
