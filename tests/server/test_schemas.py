"""Payloads are held against the announced schema, offline, and faults name their places without quoting values."""

from __future__ import annotations

import http.server
import threading

import msgspec
import pytest

from emp_core.errors import InvalidPayload, PayloadFault
from emp_core.json_schema import SchemaUnusable
from emp_server.schemas import FAULTS_SHOWN, PayloadCheck


def faults(schema, payload):
    with pytest.raises(InvalidPayload) as refused:
        PayloadCheck(schema)(msgspec.json.encode(payload))
    return {(fault.pointer, fault.message) for fault in refused.value.faults}


def test_a_payload_that_fits_passes():
    PayloadCheck({"type": "object", "required": ["a"]})(b'{"a": 1}')


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 5000], ids=["float", "negative", "integer"])
def test_a_number_out_of_range_is_pointed_at(number):
    with pytest.raises(InvalidPayload) as refused:
        PayloadCheck({"type": "object"})(b'{"fine": [1.5, 7], "a/b": [0, %s]}' % number.encode())

    assert refused.value.faults == (PayloadFault("/a~1b/1", "is a number out of range"),)


def test_a_missing_property_is_pointed_at_where_it_should_be():
    schema = {"properties": {"box": {"type": "object", "required": ["a/b"]}}, "required": ["image"]}

    assert faults(schema, {"box": {}}) == {("/image", "is required"), ("/box/a~1b", "is required")}


def test_a_property_too_many_is_pointed_at():
    schema = {"properties": {"a": {}}, "additionalProperties": False}

    assert faults(schema, {"a": 1, "b": 1}) == {("/b", "is not a known property")}


def test_a_fault_deep_inside_has_its_whole_path():
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}

    assert {pointer for pointer, _ in faults(schema, {"a": [1, "x"]})} == {"/a/1"}


def test_a_fault_in_the_alternative_that_was_meant_is_named():
    schema = {"properties": {"box": {"anyOf": [{"type": "object", "required": ["width"]}, {"type": "null"}]}}}

    assert ("/box", "is required") not in faults(schema, {"box": {}})
    assert {pointer for pointer, _ in faults(schema, {"box": {}})} == {"/box/width"}


def test_no_message_quotes_a_value_of_the_payload():
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"enum": ["x"]},
            "c": {"pattern": "^y$"},
            "d": {"format": "date"},
            "e": {"const": 1},
        }
    }

    found = faults(schema, dict.fromkeys("abcde", "canary-4711"))

    assert len(found) == 5
    assert not [message for _, message in found if "canary" in message]


def test_formats_are_checked():
    assert {pointer for pointer, _ in faults({"properties": {"day": {"format": "date"}}}, {"day": "never"})} == {"/day"}


def test_a_bounded_number_of_faults_is_shown():
    assert len(faults({"items": {"type": "integer"}}, ["x"] * 1000)) == FAULTS_SHOWN


@pytest.mark.parametrize("number", [b"1e999", b"1" * 5000])
def test_a_number_that_no_machine_number_holds_is_refused(number):
    with pytest.raises(InvalidPayload, match="out of range"):
        PayloadCheck({})(number)


def test_a_large_whole_number_is_checked_as_it_is():
    PayloadCheck({"type": "integer"})(b"1" * 400)


def test_a_reference_to_elsewhere_is_never_fetched():
    asked: list[str] = []

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Trap) as trap:
        threading.Thread(target=trap.serve_forever).start()
        with pytest.raises(SchemaUnusable, match="cannot fetch"):
            PayloadCheck({"$ref": f"http://127.0.0.1:{trap.server_port}/schema.json"})
        trap.shutdown()

    assert asked == []


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"properties": 5}, {"pattern": "("}])
def test_what_is_no_schema_is_said_to_be_unusable(schema):
    with pytest.raises(SchemaUnusable):
        PayloadCheck(schema)


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!a)b", r"(a)\1"])
def test_a_pattern_that_may_backtrack_makes_a_schema_unusable(pattern):
    with pytest.raises(SchemaUnusable, match="look-around"):
        PayloadCheck({"pattern": pattern})


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_references_that_repeat_a_schema_without_bound_make_it_unusable(keyword):
    levels = {
        str(level): {keyword: [{"$ref": f"#/$defs/{level + 1}"}, {"$ref": f"#/$defs/{level + 1}"}]}
        for level in range(22)
    }

    with pytest.raises(SchemaUnusable, match="references"):
        PayloadCheck({"$defs": {**levels, "22": {"type": "integer"}}, "$ref": "#/$defs/0"})
