"""A text gets the type that the job type's schema announces for its field."""

from __future__ import annotations

import enum
from typing import Literal

import pytest
from pydantic import Base64Bytes, Base64UrlBytes, BaseModel

from emp_core.cli.schema_fields import WrongType, base64_form, field_schemas, typed


class Mode(enum.StrEnum):
    """A choice of words."""

    FAST = "fast"


class Inner(BaseModel):
    """An object inside another."""

    depth: float


class Everything(BaseModel):
    """One field of each kind, as pydantic announces them."""

    text: str
    count: int
    ratio: float
    flag: bool
    maybe: int | None = None
    either: int | str = 0
    words: list[str] = []
    table: dict[str, int] = {}
    inner: Inner
    perhaps: Inner | None = None
    mode: Mode = Mode.FAST
    size: Literal[1, 2, "auto"] = 1
    image: Base64Bytes
    link: Base64UrlBytes | None = None
    raw: bytes = b""


SCHEMA = Everything.model_json_schema()


def value(path: str, text: str) -> object:
    return typed(text, field_schemas(SCHEMA, path.split(".")))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("text", "5", "5"),
        ("text", "true", "true"),
        ("text", "", ""),
        ("count", "5", 5),
        ("count", "-5", -5),
        ("count", "007", 7),
        ("count", "1" * 400, int("1" * 400)),
        ("ratio", "5", 5),
        ("ratio", "0.5", 0.5),
        ("ratio", "1e3", 1000.0),
        ("flag", "true", True),
        ("flag", "False", False),
        ("maybe", "5", 5),
        ("maybe", "null", None),
        ("either", "5", 5),
        ("either", "five", "five"),
        ("words", '["a", "b"]', ["a", "b"]),
        ("table", '{"a": 1}', {"a": 1}),
        ("table.a", "1", 1),
        ("inner", '{"depth": 2}', {"depth": 2}),
        ("inner.depth", "2", 2),
        ("perhaps.depth", "2.5", 2.5),
        ("mode", "fast", "fast"),
        ("size", "1", 1),
        ("size", "auto", "auto"),
    ],
)
def test_a_text_becomes_a_value_of_its_fields_type(path, text, expected):
    found = value(path, text)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("count", "five"),
        ("count", "5.5"),
        ("count", ""),
        ("count", "1_000"),
        ("ratio", "nan"),
        ("ratio", "inf"),
        ("ratio", "1e999"),
        ("flag", "yes"),
        ("flag", "1"),
        ("maybe", "none"),
        ("words", "a,b"),
        ("words", "{}"),
        ("inner", "[]"),
        ("table.a", "x"),
    ],
)
def test_a_text_that_is_no_value_of_the_fields_type_is_refused(path, text):
    with pytest.raises(WrongType, match="takes"):
        value(path, text)


@pytest.mark.parametrize(("text", "expected"), [("5", 5), ("[1]", [1]), ("five", "five"), ("NaN", "NaN"), ("", "")])
def test_a_field_that_the_schema_does_not_know_takes_json_or_text(text, expected):
    assert value("unknown", text) == expected


@pytest.mark.parametrize(
    ("name", "form"), [("image", "base64"), ("link", "base64url"), ("raw", "base64"), ("text", None), ("gone", None)]
)
def test_a_field_of_bytes_is_told_by_its_encoding_or_format(name, form):
    assert base64_form(field_schemas(SCHEMA, [name])) == form


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/nowhere"},
        {"anyOf": [True, {"$ref": "#"}]},
        {"properties": {"a": True}},
        {"properties": []},
        {"type": 5, "properties": {"a": {"type": "frob"}}},
    ],
)
def test_a_schema_that_says_nothing_or_goes_in_circles_is_survived(schema):
    try:
        assert typed("x", field_schemas(schema, ["a"])) == "x"
    except WrongType as refused:
        assert "frob" in str(refused)  # noqa: PT017 - either is an answer
