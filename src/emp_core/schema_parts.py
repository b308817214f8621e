"""Look up the parts of a JSON Schema, and compile validators for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from jsonschema_rs import Draft202012Validator

from emp_core.json_schema import SchemaUnusable, compiled, registry_of, resolved

STEPS_TO_COMPILE: Final = 10
URI: Final = "urn:emp:schema"


@dataclass(frozen=True, slots=True)
class Node:
    """A subschema, and where it stands in the whole."""

    pointer: str
    schema: Any

    def at(self, *names: str | int) -> str:
        """Return the pointer of a subschema of this one."""
        return self.pointer + "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


class SchemaParts:
    """The subschemas of one schema. Their validators are compiled when they are first needed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._registry = registry_of(URI, schema)
        self._validators: dict[tuple[str, str], Draft202012Validator | None] = {}
        self._tagged: dict[str, tuple[str, Mapping[str, Node]] | None] = {}

    def tagged(self, branches: Sequence[Node]) -> tuple[str, Mapping[str, Node]] | None:
        """Return the property whose constant tells the branches of a union apart, and the branch of each constant."""
        first = branches[0].pointer
        if first not in self._tagged:
            self._tagged[first] = self._find_tag(branches)
        return self._tagged[first]

    def _find_tag(self, branches: Sequence[Node]) -> tuple[str, Mapping[str, Node]] | None:
        by_name: dict[str, list[tuple[str, Node]]] = {}
        for branch in branches:
            reference = branch.schema.get("$ref") if isinstance(branch.schema, dict) else None
            target = resolved(self.schema, reference)
            for name, tag in _tags(target[1] if target else branch.schema).items():
                by_name.setdefault(name, []).append((tag, branch))
        for name, tags in by_name.items():
            if 1 < len(tags) == len(dict(tags)):
                return name, dict(tags)
        return None

    def validator(
        self, node: Node, use: str, build: Callable[[], Any], spend: Callable[[int], None]
    ) -> Draft202012Validator | None:
        """Return a validator for one use of a subschema; None if it cannot be compiled by itself."""
        key = node.pointer, use
        if key not in self._validators:
            spend(STEPS_TO_COMPILE)
            try:
                self._validators[key] = compiled(build(), self._registry)
            except SchemaUnusable:
                self._validators[key] = None
        return self._validators[key]


def ref_to(pointer: str) -> dict[str, str]:
    """Return a schema that refers to a subschema."""
    return {"$ref": f"{URI}#{quote(pointer, safe='/~')}"}


def _tags(schema: Any) -> dict[str, str]:
    """Return the properties of which a schema says that they are a constant text."""
    if not isinstance(schema, dict):
        return {}
    constants = {
        name: each.get("const") for name, each in map_in(schema, "properties").items() if isinstance(each, dict)
    }
    return {name: tag for name, tag in constants.items() if isinstance(tag, str)}


def union_of(keyword: str, branches: Sequence[Node]) -> dict[str, Any]:
    """Return a union of subschemas."""
    return {keyword: [ref_to(branch.pointer) for branch in branches]}


def list_in(schema: Mapping[str, Any], keyword: str) -> Sequence[Any]:
    """Return the list that a keyword has; an empty one if it has none."""
    found = schema.get(keyword)
    return found if isinstance(found, list) else ()


def map_in(schema: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    """Return the object that a keyword has; an empty one if it has none."""
    found = schema.get(keyword)
    return found if isinstance(found, dict) else {}
