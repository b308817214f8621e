"""Compile JSON Schemas (draft 2020-12) so that no schema makes a check expensive. Nothing is fetched.

Needs jsonschema_rs, which the server depends on: a module of the worker imports this one only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from jsonschema_rs import (
    Draft202012,
    Draft202012Validator,
    ReferencingError,
    RegexOptions,
    Registry,
    ValidationError,
)

MASK: Final = "this value"
"""Stands in messages where the payload's own values would: an answer or a log line must not carry them."""
EXPANDED_LIMIT: Final = 10_000
"""Subschemas that may apply to one value and to what it contains, each counted as often as references repeat it."""

_NO_PATTERN: Final = f'{MASK} is not a "regex"'
_PATTERN_HINT: Final = "; patterns with look-around or back-references are not supported"
_LISTS_OF_SCHEMAS: Final = ("allOf", "anyOf", "oneOf")
_SCHEMAS: Final = ("not", "if", "then", "else")
_SCHEMAS_OF_CHILDREN: Final = (
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MAPS_OF_CHILDREN: Final = ("properties", "patternProperties")


class SchemaUnusable(ValueError):
    """The schema cannot be compiled, or checking against it may take too long."""


def compiled(schema: Mapping[str, Any] | bool, registry: Registry | None = None) -> Draft202012Validator:
    """Return the validator of a schema.

    Patterns are regular expressions in the strict sense: one with a look-around or a back-reference can take time
    that grows exponentially with the value, so it makes the schema unusable.

    Raises:
        SchemaUnusable: it is not a JSON Schema, or refers to a schema that is not in it.
    """
    try:
        return Draft202012Validator(
            schema if isinstance(schema, bool) else dict(schema),
            validate_formats=True,
            offline=True,
            mask=MASK,
            registry=registry,
            pattern_options=RegexOptions(),
        )
    except ValidationError as error:
        where = "".join(f"/{name}" for name in error.instance_path) or "the schema"
        hint = _PATTERN_HINT if error.message == _NO_PATTERN else ""
        raise SchemaUnusable(f"{where}: {error.message.replace(MASK, 'the value')}{hint}") from error
    except (ReferencingError, ValueError) as error:
        raise SchemaUnusable(str(error)) from error


def registry_of(uri: str, schema: Mapping[str, Any]) -> Registry:
    """Return a registry in which other schemas can refer to parts of a schema."""
    return Registry([(uri, dict(schema))], draft=Draft202012)


def check_expanded_size(schema: Mapping[str, Any]) -> None:
    """Check that references do not repeat subschemas without bound.

    The validator remembers what it has decided about a recursive reference, but evaluates any other as often as it is
    reached: twenty definitions, each of which refers twice to the next, are evaluated a million times.

    Raises:
        SchemaUnusable: the schema is too large with its references written out.
    """
    if _ExpandedSize(schema).of(schema) > EXPANDED_LIMIT:
        raise SchemaUnusable(f"its references repeat subschemas more than {EXPANDED_LIMIT} times")


def resolved(root: Mapping[str, Any], reference: object) -> tuple[str, Any] | None:
    """Return the pointer and the schema that a local reference stands for; None for any other reference."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    pointer = unquote(reference[1:])
    found: Any = root
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return pointer, found


class _ExpandedSize:
    """Counts the subschemas that a value may be held against; children of a value share the largest count."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._sizes: dict[int, int] = {}

    def of(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        known = self._sizes.get(id(schema))
        if known is not None:
            return known
        # A reference back to a schema that is being counted is recursive.
        self._sizes[id(schema)] = 1
        here = 1 + sum(self.of(each) for each in self._applied_here(schema))
        size = here + max((self.of(each) for each in _applied_to_children(schema)), default=0)
        self._sizes[id(schema)] = min(size, EXPANDED_LIMIT + 1)
        return self._sizes[id(schema)]

    def _applied_here(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        for keyword in _LISTS_OF_SCHEMAS:
            branches = schema.get(keyword)
            if isinstance(branches, list):
                yield from branches
        yield from (schema[keyword] for keyword in _SCHEMAS if keyword in schema)
        dependent = schema.get("dependentSchemas")
        if isinstance(dependent, dict):
            yield from dependent.values()
        target = resolved(self._root, schema.get("$ref"))
        if target is not None:
            yield target[1]


def _applied_to_children(schema: Mapping[str, Any]) -> Iterator[Any]:
    for keyword in _MAPS_OF_CHILDREN:
        members = schema.get(keyword)
        if isinstance(members, dict):
            yield from members.values()
    yield from (schema[keyword] for keyword in _SCHEMAS_OF_CHILDREN if keyword in schema)
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list):
        yield from prefix
