"""NaN and Infinity are found wherever pydantic would write them as null or as a constant of JavaScript."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel, TypeAdapter, field_serializer
from typing_extensions import TypedDict

from emp_core.finite import non_finite_pointers

NAN, INF = math.nan, math.inf


class Float64(float):
    """As numpy's: a float of a class of its own."""


class Loss(BaseModel):
    """A typed number, and one that is anything."""

    loss: float | None = 0.5
    anything: Any = None
    inner: Loss | None = None


class Aliased(BaseModel):
    """A number under another name."""

    model_config = ConfigDict(serialize_by_alias=True)

    loss: float = Field(serialization_alias="a/b")


class Constants(BaseModel):
    """Writes what is no JSON."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    loss: float


class Strings(BaseModel):
    """Writes a string, as its author wants it."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    loss: float
    nothing: None = None


class WorksItOut(BaseModel):
    """Has a serializer for JSON alone."""

    count: int

    @field_serializer("count", when_used="json")
    def ratio(self, count: int):  # without an annotation pydantic infers what it is
        return count * INF


class Careful(BaseModel):
    """Has a serializer that knows of NaN."""

    loss: Annotated[float, PlainSerializer(lambda number: number if math.isfinite(number) else None)]


class Typed(TypedDict):
    """A number in a dict."""

    loss: float


@dataclass
class Point:
    """A number in a dataclass."""

    x: float


def pointers(value: Any, annotation: Any = Any) -> list[str]:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    value = adapter.validate_python(value)
    return non_finite_pointers(value, adapter.dump_json(value, warnings=False), adapter.core_schema)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (NAN, Any, [""]),
        (INF, float, [""]),
        ({"a": [1.0, -INF, {"b~/": NAN}]}, Any, ["/a/1", "/a/2/b~0~1"]),
        ([1.0, Float64("nan")], Any, ["/1"]),
        (Float64("inf"), float, [""]),
        ((NAN,), tuple[float, ...], ["/0"]),
        ({1: NAN}, dict[int, float], ["/1"]),
        ({NAN}, set[float], ["/0"]),
        ({"loss": NAN}, Typed, ["/loss"]),
        (Point(NAN), Point, ["/x"]),
        ([Point(NAN)], Any, ["/0/x"]),
        (Loss(loss=NAN), Loss, ["/loss"]),
        (Loss(loss=NAN), Any, ["/loss"]),
        (Loss(inner=Loss(loss=INF)), Loss, ["/inner/loss"]),
        (Loss(anything={"a": [NAN]}), Loss, ["/anything/a/0"]),
        ({"of": Loss(anything=[NAN])}, Any, ["/of/anything/0"]),
        (RootModel[list[float]]([INF]), RootModel[list[float]], ["/0"]),
        (Aliased(loss=NAN), Aliased, ["/a~1b"]),
        (Constants(loss=INF), Constants, ["/loss"]),
        ([Constants(loss=NAN)], Any, ["/0/loss"]),
        (WorksItOut(count=1), WorksItOut, ["/count"]),
    ],
)
def test_a_number_without_json_is_found_with_its_place(value: Any, annotation: Any, expected: list[str]):
    assert pointers(value, annotation) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        [None, 1.5, "null", "NaN", "Infinity", {"NaN": None}, b"null", (), 10**400, True],
        Loss(),
        Strings(loss=NAN),
        Careful(loss=NAN),
        {"of": Careful(loss=INF), "nothing": None},
    ],
    ids=["nothing", "anything", "nulls", "strings", "a serializer", "a serializer within"],
)
def test_all_else_is_let_through(value: Any):
    assert pointers(value) == []


def test_twenty_places_are_enough():
    assert pointers([NAN] * 1000) == [f"/{index}" for index in range(20)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(max_size=3), inner) | inner.map(lambda it: Loss(anything=it))
        ),
        max_leaves=20,
    )
)
def test_every_tree_of_values_is_told_right(value: Any):
    def count(tree: Any, matches: Callable[[Any], bool]) -> int:
        if isinstance(tree, Loss):
            return count(tree.anything, matches)
        if isinstance(tree, dict | list):
            return sum(count(each, matches) for each in (tree.values() if isinstance(tree, dict) else tree))
        return matches(tree)

    found = pointers(value)

    assert len(found) == min(20, count(value, lambda leaf: isinstance(leaf, float) and not math.isfinite(leaf)))
