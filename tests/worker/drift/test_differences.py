"""What changes between two versions of a model: compatible, refused, or not to be told."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from emp_worker.drift import differences


class Strict(BaseModel):
    """A model that takes no other fields."""

    model_config = ConfigDict(extra="forbid")


class Small(StrEnum):
    """Two words."""

    A = "a"
    B = "b"


class Large(StrEnum):
    """Three words."""

    A = "a"
    B = "b"
    C = "c"


class Cat(BaseModel):
    """One branch of a union that says which it is."""

    kind: Literal["cat"]
    lives: int = 9


class StricterCat(Cat):
    """The same, with a field that takes less."""

    lives: int = Field(9, le=9)


class Dog(BaseModel):
    """The other branch."""

    kind: Literal["dog"]


class Tree(BaseModel):
    """A schema that names itself."""

    leaves: list[Tree] = []
    size: int = 0


class StricterTree(BaseModel):
    """The same, with a bound."""

    leaves: list[StricterTree] = []
    size: int = Field(0, ge=0)


def field(kind: Any, **rules: Any) -> dict[str, Any]:
    """Give the schema of a model with one field `x`."""
    return create_model("Payload", x=(kind, Field(**rules))).model_json_schema()


def fields(base: type[BaseModel] = BaseModel, **types: Any) -> dict[str, Any]:
    """Give the schema of a model with these fields; one that has no default is required."""
    named = {name: kind if isinstance(kind, tuple) else (kind, ...) for name, kind in types.items()}
    return create_model("Payload", __base__=base, **named).model_json_schema()


COMPATIBLE = {
    "the-same": (field(int, ge=0), field(int, ge=0)),
    "a-new-field-with-a-default": (fields(x=int), fields(x=int, y=(str, "z"))),
    "a-strict-models-new-field": (fields(Strict, x=int), fields(Strict, x=int, y=(int, 1))),
    "a-field-that-became-optional": (fields(x=int), fields(x=(int, 0))),
    "a-field-that-nobody-reads-any-more": (fields(x=int, y=int), fields(x=int)),
    "null-too": (field(int), field(int | None)),
    "a-wider-type": (field(int), field(float)),
    "another-type-too": (field(int), field(int | str)),
    "wider-bounds": (field(int, ge=1, le=9), field(int, ge=0, le=10)),
    "the-same-bound-of-integers-in-other-words": (field(int, gt=0), field(int, ge=1)),
    "a-larger-enum": (field(Small), field(Large)),
    "an-enum-that-became-a-text": (field(Small), field(str)),
    "a-literal-within-bounds": (field(Literal[1, 2]), field(int, ge=1, le=2)),
    "longer-texts": (field(str, max_length=5), field(str, max_length=6)),
    "no-pattern-any-more": (field(str, pattern="^a"), field(str)),
    "a-coarser-step": (field(int, multiple_of=4), field(int, multiple_of=2)),
    "more-items": (field(list[int], max_length=2), field(list[int], max_length=3)),
    "wider-items": (field(list[int]), field(list[float])),
    "a-new-branch": (field(Cat), field(Annotated[Cat | Dog, Field(discriminator="kind")])),
    "a-union-in-another-order": (field(int | str), field(str | int)),
    "a-model-within-itself": (Tree.model_json_schema(), Tree.model_json_schema()),
    "mappings-of-wider-values": (field(dict[str, int]), field(dict[str, float])),
    "anything-goes": (field(int), field(Any)),
    "tuples-that-grew-wider": (field(tuple[int, str]), field(tuple[float, str])),
}

REFUSED = {
    "a-new-required-field": (fields(x=int), fields(x=int, y=str), "/y: is new and required; give it a default"),
    "a-field-that-became-required": (fields(x=(int, 0)), fields(x=int), "/x: is required now; it was optional"),
    "a-removed-field": (fields(Strict, x=int, y=int), fields(Strict, x=int), "/y: this field is not taken any more"),
    "other-fields": (fields(x=int), fields(Strict, x=int), "fields that the schema does not name are not taken"),
    "another-type": (field(int), field(str), "/x: integer is not taken any more"),
    "no-fractions": (field(float), field(int), "/x: numbers with a fraction are not taken any more"),
    "no-null": (field(int | None), field(int), "/x: null is not taken any more"),
    "a-higher-minimum": (field(int), field(int, ge=5), "/x: numbers below 5 are not taken any more"),
    "a-lower-maximum": (field(float, le=1), field(float, lt=1), "/x: numbers 1 and above are not taken any more"),
    "a-step": (field(int), field(int, multiple_of=2), "/x: only multiples of 2 are taken now"),
    "a-smaller-enum": (field(Large), field(Small), "/x: 'c' is not taken any more"),
    "a-text-that-became-an-enum": (field(str), field(Small), "/x: only 'a', 'b' are taken now"),
    "a-literal-beyond-bounds": (field(Literal[1, 5]), field(int, le=2), "/x: 5 is not taken any more"),
    "a-switch-that-is-always-on": (field(bool), field(Literal[True]), "/x: False is not taken any more"),
    "shorter-texts": (field(str), field(str, max_length=5), "/x: texts longer than 5 are not taken any more"),
    "no-empty-text": (field(str), field(str, min_length=1), "/x: texts shorter than 1 are not taken any more"),
    "a-pattern": (field(str), field(str, pattern="^a"), "/x: only texts like ^a are taken now, so "),
    "a-format": (field(str), field(date), "/x: only texts of the format date are taken now"),
    "fewer-items": (field(list[int]), field(list[int], max_length=3), "/x: arrays of more than 3 items are not taken"),
    "no-empty-list": (field(list[int]), field(list[int], min_length=1), "/x: arrays of fewer than 1 items are not"),
    "no-item-twice": (field(list[int]), field(set[int]), "/x: arrays that hold an item twice are not taken any more"),
    "items-of-another-type": (field(list[int]), field(list[str]), "/x/*: integer is not taken any more"),
    "a-tuple-of-other-types": (field(tuple[int, str]), field(tuple[int, int]), "/x/1: string is not taken any more"),
    "a-longer-tuple": (field(tuple[int]), field(tuple[int, int]), "/x: arrays of fewer than 2 items are not taken"),
    "a-mapping-of-other-values": (field(dict[str, int]), field(dict[str, str]), "/x/*: integer is not taken any more"),
    "a-branch-less": (
        field(Annotated[Cat | Dog, Field(discriminator="kind")]),
        field(Cat),
        "/x/kind: 'dog' is not taken any more",
    ),
    "a-union-without-the-branch": (
        field(Dog),
        field(Annotated[Cat | StricterCat, Field()]),
        "/x: object is not taken any more",
    ),
    "within-a-branch": (
        field(Annotated[Cat | Dog, Field(discriminator="kind")]),
        field(Annotated[StricterCat | Dog, Field(discriminator="kind")]),
        "/x/lives: numbers above 9 are not taken any more",
    ),
    "below-itself": (
        Tree.model_json_schema(),
        StricterTree.model_json_schema(),
        "/size: numbers below 0 are not taken any more",
    ),
    "nothing-any-more": ({}, {"not": {}}, "(the whole payload): nothing is taken here any more"),
}

UNKNOWN = {
    "another-pattern": (
        field(str, pattern="^a"),
        field(str, pattern="^b"),
        "/x: cannot tell: texts must be like ^b now",
    ),
    "a-rule-that-is-not-read": ({}, {"not": {"type": "null"}}, "cannot tell: the new schema says `not`"),
    "a-reference-to-elsewhere": ({}, {"$ref": "https://example.org/x"}, "cannot tell: https://example.org/x is not in"),
    "several-forms": (
        {"type": "number", "minimum": 0},
        {"anyOf": [{"type": "number", "maximum": 5}, {"type": "number", "minimum": 5}]},
        "cannot tell: number has several forms now",
    ),
    "overlapping-branches": (
        {"type": "integer"},
        {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        "cannot tell: more than one branch of oneOf may take the same value",
    ),
}


@pytest.mark.parametrize(("old", "new"), COMPATIBLE.values(), ids=COMPATIBLE)
def test_a_change_that_takes_every_old_payload_is_compatible(old: Any, new: Any):
    assert [each.told() for each in differences(old, new)] == []


@pytest.mark.parametrize(("old", "new", "told"), REFUSED.values(), ids=REFUSED)
def test_a_change_that_refuses_old_payloads_says_what_and_where(old: Any, new: Any, told: str):
    found = [each.told() for each in differences(old, new) if each.word == "refused"]

    assert any(told in each for each in found), found


@pytest.mark.parametrize(("old", "new", "told"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_cannot_be_decided_is_said(old: Any, new: Any, told: str):
    found = differences(old, new)

    assert [each.word for each in found] == ["unknown"]
    assert told in found[0].told()


def test_the_place_of_a_field_is_a_pointer():
    (found,) = differences(fields(**{"a/b~c": int}), fields(**{"a/b~c": str}))

    assert found.pointer == "/a~1b~0c"


def test_one_thing_is_said_once():
    old = {"anyOf": [{"type": "integer"}, {"type": "integer", "minimum": 0}]}

    assert len(differences(old, {"type": "string"})) == 1


def test_schemas_in_circles_end():
    circle = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}

    assert [each.word for each in differences(circle, {"type": "string"})] == ["unknown"]
