"""What stands on the command line becomes the payload."""

from __future__ import annotations

import base64
import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_core.cli.parameters import Parameter, parse_parameter, read_payload, with_parameters
from emp_core.errors import InvalidPayload

SCHEMA = {
    "type": "object",
    "properties": {
        "width": {"type": "integer"},
        "title": {"type": "string"},
        "image": {"type": "string", "contentEncoding": "base64"},
        "inner": {"$ref": "#/$defs/Inner"},
    },
    "$defs": {"Inner": {"type": "object", "properties": {"depth": {"type": "number"}}}},
}


def laid_over(payload: str, *arguments: str) -> object:
    return json.loads(with_parameters(payload.encode(), [parse_parameter(each) for each in arguments], SCHEMA))


@pytest.mark.parametrize(
    ("argument", "parameter"),
    [
        ("a=1", Parameter(("a",), "1")),
        ("a=", Parameter(("a",), "")),
        ("a=b=c", Parameter(("a",), "b=c")),
        ("a.b.c=1", Parameter(("a", "b", "c"), "1")),
        (r"a\.b=1", Parameter(("a.b",), "1")),
        ("a=@photo.jpg", Parameter(("a",), "", "photo.jpg")),
        ("a=@-", Parameter(("a",), "", "-")),
        ("a=@@home", Parameter(("a",), "@home")),
        ("a=me@home", Parameter(("a",), "me@home")),
    ],
)
def test_a_parameter_is_a_path_and_a_value(argument, parameter):
    assert parse_parameter(argument) == parameter


@pytest.mark.parametrize("argument", ["", "a", "=1", ".a=1", "a.=1", "a..b=1"])
def test_what_has_no_key_or_value_is_a_usage_error(argument):
    with pytest.raises(click.UsageError, match="key=value"):
        parse_parameter(argument)


@given(st.text(min_size=1).filter(lambda text: not text.startswith("@")))
def test_a_string_field_takes_any_text_as_it_is(text):
    assert laid_over("{}", f"title={text}") == {"title": text}


def test_values_are_laid_over_the_payload():
    assert laid_over('{"width": 1, "title": "old"}', "title=new") == {"width": 1, "title": "new"}


def test_a_dotted_key_goes_into_an_object_and_leaves_its_other_fields():
    assert laid_over('{"inner": {"x": 1}}', "inner.depth=2.5") == {"inner": {"x": 1, "depth": 2.5}}


def test_a_dotted_key_makes_the_objects_that_are_missing():
    assert laid_over("{}", "new.deep.down=1") == {"new": {"deep": {"down": 1}}}


def test_without_parameters_the_payload_keeps_its_bytes():
    text = b'{ "a" : 1e2 }'

    assert with_parameters(text, [], SCHEMA) is text


def test_a_value_of_the_wrong_type_is_an_invalid_payload_with_every_place():
    with pytest.raises(InvalidPayload) as caught:
        laid_over("{}", "width=wide", "inner.depth=deep")

    assert [fault.pointer for fault in caught.value.faults] == ["/width", "/inner/depth"]


def test_a_number_too_large_for_json_is_an_invalid_payload():
    with pytest.raises(InvalidPayload):
        laid_over('{"width": 1e999}', "title=x")


@pytest.mark.parametrize("arguments", [("a=1", "a=2"), ("a=1", "a.b=2"), ("a.b=2", "a=1")])
def test_two_values_for_one_place_are_a_usage_error(arguments):
    with pytest.raises(click.UsageError, match="same place"):
        laid_over("{}", *arguments)


@pytest.mark.parametrize("payload", ["[1]", "5", "null", '"x"'])
def test_values_can_only_be_laid_over_an_object(payload):
    with pytest.raises(click.UsageError, match="object"):
        laid_over(payload, "a=1")


def test_a_value_cannot_go_into_what_is_no_object():
    with pytest.raises(click.UsageError, match="not an object"):
        laid_over('{"inner": 5}', "inner.depth=1")


def test_a_base64_field_takes_a_files_bytes(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8\x00")

    assert laid_over("{}", f"image=@{photo}") == {"image": base64.b64encode(b"\xff\xd8\x00").decode()}


def test_any_other_field_takes_a_files_text_as_it_would_be_typed(tmp_path):
    number, text = tmp_path / "number", tmp_path / "text"
    number.write_text("640\n")
    text.write_text("640\n")

    assert laid_over("{}", f"width=@{number}", f"title=@{text}") == {"width": 640, "title": "640\n"}


def test_a_file_of_bytes_does_not_fit_a_text_field(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8")

    with pytest.raises(InvalidPayload) as caught:
        laid_over("{}", f"title=@{photo}")

    assert "not UTF-8" in caught.value.faults[0].message


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path):
    with pytest.raises(click.UsageError, match="No such file"):
        laid_over("{}", f"title=@{tmp_path / 'missing'}")
    with pytest.raises(click.UsageError, match="directory"):
        laid_over("{}", f"title=@{tmp_path}")


def test_no_payload_is_an_empty_object():
    assert read_payload(None) == b"{}"


def test_a_payload_of_a_file_keeps_its_bytes(tmp_path):
    file = tmp_path / "payload.json"
    file.write_bytes(b'{ "a": "\xc3\xa9" }\n')

    assert read_payload(f"@{file}") == b'{ "a": "\xc3\xa9" }\n'


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "NaN", '{"a": Infinity}', "[" * 100_000, "\ufeff{}", "\udcff"])
def test_a_payload_that_is_not_json_is_invalid(text):
    with pytest.raises(InvalidPayload):
        read_payload(text)
