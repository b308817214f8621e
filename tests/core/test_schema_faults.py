"""Faults of a payload are found in bounded time, at the place that the validator would name."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from emp_core.json_schema import compiled
from emp_core.schema_faults import UNFIT, SchemaFaults

SHOWN = 20


class Leaf(BaseModel):
    """A test of one name."""

    kind: Literal["leaf"]
    name: str


class And(BaseModel):
    """Both."""

    kind: Literal["and"]
    left: Expression
    right: Expression


class Or(BaseModel):
    """Either."""

    kind: Literal["or"]
    left: Expression
    right: Expression


Expression = Annotated[Leaf | And | Or, Field(discriminator="kind")]


class Query(BaseModel):
    """A filter."""

    where: Expression


class Parent(BaseModel):
    """Recursive, without a discriminator."""

    child: Parent | Guardian | int


class Guardian(BaseModel):
    """The other half of a Parent."""

    child: Parent | Guardian | int


def query(depth, **leaf):
    expression = {"kind": "leaf", **leaf}
    for _ in range(depth):
        expression = {"kind": "and", "left": expression, "right": {"kind": "leaf", "name": "x"}}
    return {"where": expression}


def faults(schema, value):
    assert not compiled(schema).is_valid(value)
    return SchemaFaults(schema).find(value, SHOWN)


def seconds(schema, value):
    explained = SchemaFaults(schema)
    begun = time.thread_time()
    assert explained.find(value, SHOWN)
    return time.thread_time() - begun


def test_a_fault_at_the_end_of_a_deep_recursive_union_is_named():
    [(path, message)] = faults(Query.model_json_schema(), query(60, name=1))

    assert path == ("where", *["left"] * 60, "name")
    assert message == 'this value is not of type "string"'


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Query, query(60, name=1)),
        (Parent, {"child": query(60, name=1)}),
        (Parent, query(0, name=1)),
    ],
    ids=["discriminated", "two models that name each other", "shallow"],
)
def test_a_recursive_union_is_explained_within_50_ms(model, value):
    assert seconds(model.model_json_schema(), value) < 0.05


def test_two_models_that_name_each_other_are_explained_within_50_ms():
    value = "x"
    for _ in range(60):
        value = {"child": value}

    assert seconds(Parent.model_json_schema(), value) < 0.05


@pytest.mark.parametrize(
    ("leaf", "fault"),
    [
        ({"kind": "nor"}, (("where", "kind"), 'this value is not one of "and", "leaf" or "or"')),
        ({"kind": 5}, (("where", "kind"), 'this value is not one of "and", "leaf" or "or"')),
        ({}, (("where", "kind"), "is required")),
        ({"kind": "leaf"}, (("where", "name"), "is required")),
    ],
)
def test_the_discriminator_says_which_branch_was_meant(leaf, fault):
    assert faults(Query.model_json_schema(), {"where": leaf}) == [fault]


def test_of_sixty_branches_with_a_constant_each_the_one_that_was_meant_is_followed():
    kinds = {
        f"T{n}": {
            "type": "object",
            "properties": {"kind": {"const": f"t{n}"}, "kids": {"items": {"$ref": "#/$defs/Any"}, "type": "array"}},
        }
        for n in range(60)
    }
    schema = {"$defs": {**kinds, "Any": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds]}}}
    value = {"kind": "t59", "kids": 5}
    for n in range(30):
        value = {"kind": f"t{n}", "kids": [value]}

    [(path, message)] = faults({**schema, "$ref": "#/$defs/Any"}, value)

    assert path == (*["kids", 0] * 30, "kids")
    assert message == 'this value is not of type "array"'


def test_a_constant_says_which_branch_was_meant_where_there_is_no_discriminator():
    branches = [{"type": "object", "properties": {"kind": {"const": each}, each: {"type": "null"}}} for each in "ab"]

    assert faults({"anyOf": branches}, {"kind": "b", "a": 1, "b": 1}) == [(("b",), 'this value is not of type "null"')]


@pytest.mark.parametrize(
    ("schema", "value", "path"),
    [
        ({"items": {"type": "integer"}}, [0] * 100_000 + ["x"], (100_000,)),
        ({"additionalProperties": {"type": "integer"}}, {**{str(n): n for n in range(1000)}, "x": "y"}, ("x",)),
        ({"additionalProperties": False}, {"x": 1}, ("x",)),
        ({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": True}, {"a": 1, "xy": 1}, ("xy",)),
        ({"prefixItems": [True, {"type": "null"}], "items": {"type": "integer"}}, [1, 2, *[3] * 50], (1,)),
        ({"prefixItems": [True] * 12, "items": {"type": "null"}}, [1] * 13, (12,)),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, ("b",)),
        ({"if": {"required": ["a"]}, "else": {"required": ["b"]}}, {}, ("b",)),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, ("b",)),
        ({"allOf": [{"$ref": "#/$defs/a~1b"}], "$defs": {"a/b": {"type": "null"}}}, 1, ()),
        ({"properties": {"a": False}}, {"a": 1}, ("a",)),
    ],
)
def test_a_fault_has_its_place(schema, value, path):
    [(found, message)] = faults(schema, value)

    assert found == path
    assert message != UNFIT


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 1),
        ({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "integer"}}}, 1),
        ({"contains": {"type": "null"}}, [1]),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
        ({"uniqueItems": True}, [1, 1]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}),
        ({"minProperties": 1}, {}),
        ({"enum": [{"a": 1}, 2]}, {"a": 2}),
    ],
)
def test_messages_are_those_of_the_validator(schema, value):
    [error] = compiled(schema).iter_errors(value)
    [(_, message)] = faults(schema, value)

    assert message in {error.message, "is required"}


def test_a_fault_that_has_no_message_of_its_own_is_said_at_its_place():
    schema = {"properties": {"a": {"properties": {"b": True}, "unevaluatedProperties": False}}}

    assert faults(schema, {"a": {"b": 1, "c": 1}}) == [(("a",), UNFIT)]


def test_a_search_ends_at_the_place_that_it_has_reached():
    expression = {"kind": "leaf", "name": ["y" * 1000] * 900}
    for _ in range(60):
        expression = {"kind": "and", "left": expression, "right": {"kind": "leaf", "name": "x"}}
    value = {"where": expression}

    [(path, message)] = faults(Query.model_json_schema(), value)

    assert message == UNFIT
    assert path[:2] == ("where", "left")
    assert seconds(Query.model_json_schema(), value) < 0.5
