"""Bring a JSON Schema with definitions of its own into the components of an OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

COMPONENTS: Final = "#/components/schemas/"

_VALUES: Final = frozenset({"const", "default", "enum", "example", "examples"})
_NAMED_SCHEMAS: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_DROPPED: Final = frozenset({"$schema", "$id", "$defs"})
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


def hoisted(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the components that a schema becomes: itself under `name`, its definitions under `name.<definition>`.

    Two definitions never share a component, however their names are spelled. A reference to anything outside the schema
    becomes the schema that allows all: whoever reads the document must not be sent to fetch something. Titles of
    components are left out: generators name classes by them, and those of two types may be the same.
    """
    places: dict[str, str] = {}
    for definition in schema.get("$defs", {}):
        wished = place = f"{name}.{_NOT_IN_A_NAME.sub('_', definition)}"
        number = 1
        while place in places.values():
            number += 1
            place = f"{wished}_{number}"
        places[definition] = place
    move = _Move(name, places)
    definitions = {places[key]: move.schema(value) for key, value in schema.get("$defs", {}).items()}
    components = {name: move.schema(schema), **definitions}
    return {key: _without_title(component) for key, component in components.items()}


def _without_title(component: Any) -> Any:
    if not isinstance(component, Mapping):
        return component
    return {key: value for key, value in component.items() if key != "title"}


class _Move:
    """Rewrites the references of one schema."""

    def __init__(self, root: str, places: Mapping[str, str]) -> None:
        self._root = root
        self._places = places

    def schema(self, schema: Any) -> Any:
        if isinstance(schema, list):
            return [self.schema(item) for item in schema]
        if not isinstance(schema, Mapping):
            return schema
        moved: dict[str, Any] = {}
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                reference = self._reference(value)
                if reference is not None:
                    moved[key] = reference
            elif key == "discriminator" and isinstance(value, Mapping):
                mapping = {tag: self._reference(to) or to for tag, to in value.get("mapping", {}).items()}
                moved[key] = {**value, "mapping": mapping}
            elif key in _NAMED_SCHEMAS and isinstance(value, Mapping):
                moved[key] = {name: self.schema(inner) for name, inner in value.items()}
            elif key in _VALUES:
                moved[key] = value
            elif key not in _DROPPED:
                moved[key] = self.schema(value)
        return moved

    def _reference(self, reference: str) -> str | None:
        if not reference.startswith("#"):
            return None
        path = reference[1:]
        if path.startswith("/$defs/"):
            definition, slash, rest = path[len("/$defs/") :].partition("/")
            name = unquote(definition).replace("~1", "/").replace("~0", "~")
            return f"{COMPONENTS}{self._places[name]}{slash}{rest}" if name in self._places else None
        return f"{COMPONENTS}{self._root}{path}" if not path or path.startswith("/") else None
