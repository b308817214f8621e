"""Between a form and JSON: what is planned, what is read, what the form has no room for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_server.monitor.schema_form import as_form, draw, form_of, initial, read
from emp_server.monitor.schema_plan import Kind, Node, plan

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 50},
        "text": {"type": "string", "default": "hello"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "share": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "is_fast": {"type": "boolean", "default": False},
        "colour": {"$ref": "#/$defs/Colour"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "box": {"$ref": "#/$defs/Box", "description": "how large"},
        "boxes": {"type": "array", "items": {"$ref": "#/$defs/Box"}},
        "words": {"type": "array", "items": {"type": "string"}},
        "free": {"type": "object", "additionalProperties": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        "a/b~c": {"type": "string"},
    },
    "required": ["name", "box"],
    "$defs": {
        "Colour": {"enum": ["red", 'a "quote"', 7, None]},
        "Box": {
            "type": "object",
            "properties": {"w": {"type": "integer"}, "h": {"type": "integer"}},
            "required": ["w"],
        },
    },
}
NODE = plan(SCHEMA)
assert NODE is not None


def said(**fields: str) -> dict[str, str]:
    """Give fields by the last part of their names."""
    return {f"payload/{name.replace('__', '/')}": text for name, text in fields.items()}


def read_as(fields: dict[str, str], node: Node = NODE):
    """Give the value that fields stand for."""
    payload, faults = read(node, as_form(fields))
    assert faults == []
    return json.loads(payload)


def test_each_field_has_its_control():
    kinds = {name: node.kind for name, node in NODE.members.items()}

    assert kinds == {
        "name": Kind.LINE,
        "text": Kind.TEXT,
        "count": Kind.NUMBER,
        "share": Kind.NUMBER,
        "is_fast": Kind.CHOICE,
        "colour": Kind.CHOICE,
        "data": Kind.BYTES,
        "box": Kind.OBJECT,
        "boxes": Kind.LIST,
        "words": Kind.LIST,
        "free": Kind.JSON,
        "either": Kind.JSON,
        "a/b~c": Kind.TEXT,
    }
    assert NODE.members["count"].bounds == {"step": "1", "min": "1", "max": "9"}
    assert NODE.members["box"].about == "how large"


def test_a_form_begins_with_the_defaults():
    assert initial(NODE) == said(text="hello", count="3", is_fast="false")


def test_what_nobody_said_is_left_out():
    assert read_as(said(name="x", text="", count="", box__w="1", colour="")) == {"name": "x", "box": {"w": 1}}


def test_every_kind_is_read():
    fields = said(
        name="n",
        text="a\r\nb",
        count="4",
        share="0.5",
        is_fast="true",
        colour='"a \\"quote\\""',
        data=" aGk= \r\n",
        box__w="1",
        box__h="2",
        boxes__3__w="5",
        boxes__12__w="6",
        boxes__7__w="",
        words__0="",
        words__1="one",
        free='{"k": [1]}',
        either='"s"',
    ) | {"payload/a~1b~0c": "odd"}

    assert read_as(fields) == {
        "name": "n",
        "text": "a\nb",
        "count": 4,
        "share": 0.5,
        "is_fast": True,
        "colour": 'a "quote"',
        "data": "aGk=",
        "box": {"w": 1, "h": 2},
        "boxes": [{"w": 5}, {"w": 6}],
        "words": ["one"],
        "free": {"k": [1]},
        "either": "s",
        "a/b~c": "odd",
    }


@pytest.mark.parametrize("number", ["1.10", "123456789012345678901234567890", "1E5", "-0"])
def test_a_number_stays_as_it_was_written(number):
    payload, _ = read(NODE, as_form(said(share=number)))

    assert f'"share":{number}'.encode() in payload


@pytest.mark.parametrize("text", ["abc", "0x10", "1,5", "01", "NaN", "Infinity"])
def test_what_is_no_number_is_left_to_the_schema(text):
    assert read_as(said(count=text))["count"] == text


def test_json_that_cannot_be_read_is_a_fault_of_its_field():
    _, faults = read(NODE, as_form(said(free="{not json")))

    assert [fault.pointer for fault in faults] == ["/free"]


def test_a_fault_stands_beside_its_field_and_others_on_top():
    _, faults = read(NODE, as_form(said(free="{")))

    control, others = draw(NODE, as_form(said(name="x")), [*faults, *faults[:0]])

    drawn = {inner.label: inner for inner in control.inner}
    assert drawn["free"].faults
    assert drawn["name"].text == "x"
    assert others == []


@pytest.mark.parametrize(
    "value",
    [
        {"name": "x", "box": {"w": 1}, "unknown": 1},
        {"name": "two\nlines", "box": {"w": 1}},
        {"name": "x", "box": {"w": 1}, "text": ""},
        {"name": "x", "box": {"w": 1}, "text": "a\rb"},
        {"name": "x", "box": {"w": 1}, "words": ["a", ""]},
        {"name": "x", "box": {"w": 1}, "words": []},
        {"name": "x", "box": {"w": 1}, "text": None},
        {"name": 5, "box": {"w": 1}},
        [1],
        "text",
    ],
    ids=range(10),
)
def test_a_payload_that_the_form_would_change_is_not_put_into_it(value):
    assert form_of(NODE, json.dumps(value).encode()) is None


_boxes = st.fixed_dictionaries({"w": st.integers()}, optional={"h": st.integers()})
_payloads = st.fixed_dictionaries(
    {"name": st.text(max_size=50), "box": _boxes},
    optional={
        "text": st.text(),
        "count": st.integers(),
        "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "is_fast": st.booleans(),
        "colour": st.sampled_from(["red", 'a "quote"', 7, None]),
        "boxes": st.lists(_boxes, max_size=4),
        "words": st.lists(st.text(max_size=5), max_size=4),
        "free": st.dictionaries(st.text(max_size=3), st.integers()),
        "a/b~c": st.text(max_size=5),
    },
)


@given(_payloads)
def test_a_payload_comes_out_of_the_form_as_it_went_in(payload):
    form = form_of(NODE, json.dumps(payload).encode())

    if form is not None:
        again = read_as({name: texts[0] for name, texts in form.items()})
        assert again == {name: value for name, value in payload.items() if value is not None or name in again}


@pytest.mark.parametrize(
    "schema", [{}, {"type": "array"}, {"type": "object"}, {"$ref": "#"}, {"$ref": "http://x/y"}, {"type": 5}]
)
def test_a_schema_without_known_fields_has_no_form(schema):
    assert plan(schema) is None


def test_a_schema_that_holds_itself_ends():
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}

    node = plan(schema)

    assert node is not None
    deep = node
    while deep.kind is Kind.OBJECT:
        deep = deep.members["next"]
    assert deep.kind is Kind.JSON
