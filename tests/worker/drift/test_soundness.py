"""Whatever two schemas say, no payload contradicts the comparison: a validator is asked about random ones."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from emp_worker.drift import differences

SMALL = st.integers(-3, 3)
WORDS = st.sampled_from(["", "a", "b", "aa", "ab"])
VALUES = st.recursive(
    st.none() | st.booleans() | SMALL | st.sampled_from([0.5, 1.5, -0.5]) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)

OBJECTS = st.dictionaries(st.sampled_from("xy"), st.none() | SMALL | WORDS, max_size=2)


def rules(kind: str, **words: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give schemas of one type with some of these words."""
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=words)


NUMBERS = {
    "minimum": SMALL,
    "maximum": SMALL,
    "exclusiveMinimum": SMALL,
    "exclusiveMaximum": SMALL,
    "multipleOf": st.sampled_from([0.5, 1, 2]),
}
KINDS = (
    rules("integer", **NUMBERS),
    rules("number", **NUMBERS),
    rules(
        "string",
        minLength=st.integers(0, 2),
        maxLength=st.integers(0, 2),
        pattern=st.sampled_from(["^a", "b", "^$"]),
    ),
    st.fixed_dictionaries({"enum": st.lists(VALUES, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"const": VALUES}),
    rules("null"),
    rules("boolean"),
    st.just({}),
)
PLAIN = st.one_of(*KINDS)


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give schemas of arrays."""
    sizes = st.integers(0, 2)
    return rules(
        "array",
        items=inner | st.booleans(),
        prefixItems=st.lists(inner, min_size=1, max_size=2),
        minItems=sizes,
        maxItems=sizes,
        uniqueItems=st.booleans(),
    )


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give schemas of objects.

    All have a rule for other fields: without one, a new name for what anybody could send is left out of account.
    """
    sizes = st.integers(0, 2)
    names = st.sampled_from("xy")
    return st.fixed_dictionaries(
        {"type": st.just("object"), "additionalProperties": st.just(False) | inner},
        optional={
            "properties": st.dictionaries(names, inner, max_size=2),
            "required": st.lists(names, max_size=2, unique=True),
            "minProperties": sizes,
            "maxProperties": sizes,
        },
    )


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give schemas that hold others."""
    return st.one_of(
        arrays(inner),
        objects(inner),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
    )


def two(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Give two schemas of one kind, which are likely to be near each other."""
    return st.tuples(strategy, strategy)


SCHEMAS = st.recursive(PLAIN, containers, max_leaves=5)
PAIRS = st.one_of(
    *map(two, KINDS),
    two(arrays(PLAIN)),
    two(objects(PLAIN)),
    st.tuples(PLAIN, two(PLAIN).map(lambda pair: {"anyOf": list(pair)})),
    two(SCHEMAS),
    two(SCHEMAS).map(lambda pair: (pair[0], {"anyOf": list(pair)})),
)


def takes(schema: Any, value: Any) -> bool:
    return jsonschema_rs.Draft202012Validator(schema).is_valid(value)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(pair=PAIRS, values=st.lists(VALUES | OBJECTS, max_size=20))
def test_what_is_called_compatible_takes_every_payload_of_before(pair: tuple[Any, Any], values: list[Any]):
    old, new = pair
    assume(differences(old, new) == [])

    assert [value for value in values if takes(old, value) and not takes(new, value)] == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(schema=SCHEMAS)
def test_a_schema_is_compatible_with_itself(schema: Any):
    assert [each.told() for each in differences(schema, schema) if each.word == "refused"] == []
