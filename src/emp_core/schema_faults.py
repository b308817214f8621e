"""Find what is wrong with a value that does not fit a JSON Schema, in bounded time whatever the schema.

`iter_errors` of the validator evaluates every branch of a union to the end, so a recursive union takes time and memory
that double with each level of the value. The search here follows a value into the one branch that was meant, skips the
parts that fit, and has a budget. Its messages are those of the validator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from jsonschema_rs import ValidationErrorKind

from emp_core.json_schema import MASK, resolved
from emp_core.schema_parts import Node, SchemaParts, list_in, map_in, ref_to, union_of

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
"""A place in a value, and what is wrong there."""

UNFIT: Final = "does not fit the schema"
_STEPS: Final = 3_000
_BYTES: Final = 1024 * 1024
"""What may be looked at again and again of a value, as JSON; more of a larger one."""
_LOOKS: Final = 4
"""How often all of a large value may be looked at."""
_FEW: Final = 8
"""Children that are looked at one by one; more are first tried in groups, most of which fit."""
_GROUPS: Final = 16
_HOPS: Final = 20
"""References that are followed to see whether a branch was meant."""

_ASSERTIONS: Final = frozenset(
    {
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
        "contentEncoding",
        "contentMediaType",
        "minContains",
        "maxContains",
    }
)
_OPAQUE: Final = ("not", "contains")
"""Keywords whose schemas are only asked whether they hold."""
_LOOKING_INSIDE: Final = frozenset({"enum", "const", "uniqueItems", "not", "contains"})
_UNCLEAR: Final = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef")
"""Keywords that need the whole of a schema, or of the way that has led to it: their faults have no message here."""
_KIND: Final = ("type", "const", "enum")
_OBJECT_KEYWORDS: Final = ("properties", "patternProperties", "additionalProperties", "propertyNames")
_OF_OTHERS: Final = _OBJECT_KEYWORDS[1:]
_LIST_KEYWORDS: Final = ("prefixItems", "items")


class _Exhausted(Exception):
    """The budget is spent."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """A value that a subschema may reject, or only some of its children, if there are `keys`."""

    node: Node
    value: Any
    path: Path
    keys: Sequence[str | int] | None = None


def _hollow(value: Any) -> Any:
    """Return a value without what its children hold."""
    match value:
        case dict():
            return dict.fromkeys(value)
        case list():
            return [None] * len(value)
        case _:
            return value


def _as_it_is(value: Any) -> Any:
    return value


class SchemaFaults:
    """Explains why values do not fit one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._parts = SchemaParts(schema)

    def find(self, value: Any, limit: int) -> list[Fault]:
        """Return up to `limit` faults of a value that does not fit, at least one, in the order of the schema."""
        return _Search(self._parts, limit).run(value)


class _Search:
    """One search for faults, within its budget."""

    def __init__(self, parts: SchemaParts, limit: int) -> None:
        self._parts = parts
        self._limit = limit
        self._steps = _STEPS
        self._bytes = 0
        self._faults: list[Fault] = []
        self._visits: list[_Visit] = []
        self._unclear: Path = ()

    def run(self, value: Any) -> list[Fault]:
        self._bytes = max(_BYTES, _LOOKS * _size(value))
        self._visits.append(_Visit(Node("", self._parts.schema), value, ()))
        place: Path = ()
        try:
            while self._visits and len(self._faults) < self._limit:
                visit = self._visits.pop()
                place = visit.path
                self._spend(1)
                self._visits += reversed(list(self._visit(visit)))
        except _Exhausted:
            self._fault(place, UNFIT)
        return self._faults[: self._limit] or [(self._unclear, UNFIT)]

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise _Exhausted

    def _fault(self, path: Path, message: str) -> None:
        if (path, message) not in self._faults:
            self._faults.append((path, message))

    def _visit(self, visit: _Visit) -> Iterator[_Visit]:
        """Note the faults of a value itself, and yield what is to be visited next."""
        node, value, path = visit.node, visit.value, visit.path
        if visit.keys is not None:
            yield from self._children(visit, visit.keys)
            return
        if not isinstance(node.schema, dict):
            self._note(node, "itself", lambda: node.schema, value, path)
            return
        self._own_faults(node, value, path)
        reference = resolved(self._parts.schema, node.schema.get("$ref"))
        if reference is not None:
            yield _Visit(Node(*reference), value, path)
        elif "$ref" in node.schema or any(keyword in node.schema for keyword in _UNCLEAR):
            self._unclear = (
                path if not self._fits(node, "whole", lambda: ref_to(node.pointer), value) else self._unclear
            )
        for at, each in enumerate(list_in(node.schema, "allOf")):
            yield _Visit(Node(node.at("allOf", at), each), value, path)
        for keyword in ("anyOf", "oneOf"):
            yield from self._union(node, keyword, value, path)
        yield from self._conditional(node, value, path)
        if isinstance(value, dict):
            if any(keyword in node.schema for keyword in _OBJECT_KEYWORDS):
                yield from self._children(visit, _names(node.schema, value))
        elif isinstance(value, list) and any(keyword in node.schema for keyword in _LIST_KEYWORDS):
            yield from self._children(visit, range(len(value)))

    def _own_faults(self, node: Node, value: Any, path: Path) -> None:
        """Note what the assertions of a subschema say about the value itself."""
        wanted = [keyword for keyword in node.schema if keyword in _ASSERTIONS or keyword in _OPAQUE]
        if not wanted:
            return
        looks_inside = not _LOOKING_INSIDE.isdisjoint(wanted)
        if looks_inside and not self._can_look_at(value):
            raise _Exhausted

        def own() -> dict[str, Any]:
            return {each: ref_to(node.at(each)) if each in _OPAQUE else node.schema[each] for each in wanted}

        self._note(node, "own", own, value, path, _as_it_is if looks_inside else _hollow)

    def _conditional(self, node: Node, value: Any, path: Path) -> Iterator[_Visit]:
        if "if" in node.schema:
            holds = self._fits(node, "if", lambda: ref_to(node.at("if")), value)
            branch = "then" if holds else "else"
            if branch in node.schema:
                yield _Visit(Node(node.at(branch), node.schema[branch]), value, path)
        dependent = node.schema.get("dependentSchemas")
        if isinstance(dependent, dict) and isinstance(value, dict):
            for name, each in dependent.items():
                if name in value:
                    yield _Visit(Node(node.at("dependentSchemas", name), each), value, path)

    def _union(self, node: Node, keyword: str, value: Any, path: Path) -> Iterator[_Visit]:
        """Follow the value into the branch that was meant, if it fits none."""
        branches = [Node(node.at(keyword, at), each) for at, each in enumerate(list_in(node.schema, keyword))]
        if not branches or self._fits(node, keyword, partial(union_of, keyword, branches), value):
            return
        meant = self._named_branch(node, branches, value, path)
        if meant is None:
            return
        if len(meant) != 1:
            # Enough to know of a union that more than one branch fits.
            fitting = 0
            if keyword == "oneOf":
                for branch in branches:
                    fitting += self._fits(branch, "whole", partial(ref_to, branch.pointer), value)
            shape = {keyword: [True, True]} if fitting > 1 else {keyword: [False]}
            self._note(node, f"{keyword} {fitting > 1}", lambda: shape, None, path)
            return
        yield _Visit(meant[0], value, path)

    def _named_branch(self, node: Node, branches: Sequence[Node], value: Any, path: Path) -> Sequence[Node] | None:
        """Return the branches that may be meant; None if the discriminator itself is wrong, which is noted."""
        discriminator = node.schema.get("discriminator")
        name = discriminator.get("propertyName") if isinstance(discriminator, dict) else None
        mapping = discriminator.get("mapping") if isinstance(discriminator, dict) else None
        if isinstance(name, str) and isinstance(mapping, dict) and isinstance(value, dict):
            if name not in value:
                self._fault((*path, name), _REQUIRED)
                return None
            tag = value[name]
            target = mapping.get(tag) if isinstance(tag, str) else None
            if target is None:
                self._note(node, "discriminator", lambda: {"enum": list(mapping)}, tag, (*path, name))
                return None
            named = [each for each in branches if isinstance(each.schema, dict) and each.schema.get("$ref") == target]
            if named:
                return named
        tagged = self._parts.tagged(branches)
        if tagged is not None and isinstance(value, dict) and isinstance(value.get(tagged[0]), str):
            branch = tagged[1].get(value[tagged[0]])
            if branch is not None:
                return [branch]
        return [branch for branch in branches if self._is_meant(branch, value)]

    def _is_meant(self, branch: Node, value: Any) -> bool:
        """Return whether a value has the type, and is the constant, that a branch asks for."""
        reached = [branch]
        for hop, node in enumerate(reached):
            self._spend(1)
            if node.schema is False:
                return False
            if not isinstance(node.schema, dict) or hop >= _HOPS:
                continue
            kind = {keyword: node.schema[keyword] for keyword in _KIND if keyword in node.schema}
            validator = self._parts.validator(node, "kind", partial(dict, kind), self._spend) if kind else None
            if validator is not None and not validator.is_valid(value):
                return False
            target = resolved(self._parts.schema, node.schema.get("$ref"))
            if target is not None:
                reached.append(Node(*target))
            reached += [Node(node.at("allOf", at), each) for at, each in enumerate(list_in(node.schema, "allOf"))]
        return True

    def _children(self, visit: _Visit, keys: Sequence[str | int]) -> Iterator[_Visit]:
        """Visit the children of a value, those of a large one in groups."""
        node, value = visit.node, visit.value
        if len(keys) <= _FEW:
            for key in keys:
                yield from self._child(node, value, key, visit.path)
            return
        size = -(-len(keys) // _GROUPS)
        for start in range(0, len(keys), size):
            group = keys[start : start + size]
            if visit.keys is None or len(group) < len(keys):
                self._spend(1)
                if not self._group_fits(node, value, group):
                    # What comes after it is looked at when this one has been, if it is still wanted.
                    yield _Visit(node, value, visit.path, group)
                    if start + size < len(keys):
                        yield _Visit(node, value, visit.path, keys[start + size :])
                    return

    def _group_fits(self, node: Node, value: Any, group: Sequence[str | int]) -> bool:
        if isinstance(value, dict):
            part: Any = {name: value[name] for name in group if name in value}
            return self._fits(node, "members", lambda: _members(node), part)
        first, prefix = int(group[0]), len(list_in(node.schema, "prefixItems"))
        part = value[first : int(group[-1]) + 1]
        if first < prefix:
            return False
        return self._fits(node, "elements", lambda: {"items": ref_to(node.at("items"))}, part)

    def _child(self, node: Node, value: Any, key: str | int, path: Path) -> Iterator[_Visit]:
        schema = node.schema
        if isinstance(value, list):
            prefix = list_in(schema, "prefixItems")
            at = int(key)
            if at < len(prefix):
                yield _Visit(Node(node.at("prefixItems", at), prefix[at]), value[at], (*path, at))
            elif "items" in schema:
                yield _Visit(Node(node.at("items"), schema["items"]), value[at], (*path, at))
            return
        name = str(key)
        properties, patterns = map_in(schema, "properties"), map_in(schema, "patternProperties")
        if name in properties:
            yield _Visit(Node(node.at("properties", name), properties[name]), value[name], (*path, name))
        matching = [each for each in patterns if self._matches(node, each, name)]
        for each in matching:
            yield _Visit(Node(node.at("patternProperties", each), patterns[each]), value[name], (*path, name))
        if "propertyNames" in schema:
            self._note(node, "name", lambda: {"propertyNames": ref_to(node.at("propertyNames"))}, {name: None}, path)
        if "additionalProperties" in schema and name not in properties and not matching:
            if schema["additionalProperties"] is False:
                self._fault((*path, name), _UNKNOWN)
            else:
                others = Node(node.at("additionalProperties"), schema["additionalProperties"])
                yield _Visit(others, value[name], (*path, name))

    def _matches(self, node: Node, pattern: str, name: str) -> bool:
        of_pattern = Node(node.at("patternProperties", pattern), None)
        return not self._fits(of_pattern, "matches", lambda: {"patternProperties": {pattern: False}}, {name: None})

    def _fits(self, node: Node, use: str, build: Callable[[], Any], value: Any) -> bool:
        """Return whether a value fits; what cannot be compiled by itself does not count as a fault."""
        self._spend(1)
        if not self._can_look_at(value):
            raise _Exhausted
        validator = self._parts.validator(node, use, build, self._spend)
        return validator is None or validator.is_valid(value)

    def _note(
        self,
        node: Node,
        use: str,
        build: Callable[[], Any],
        value: Any,
        path: Path,
        shown: Callable[[Any], Any] = _as_it_is,
    ) -> None:
        """Note what a validator says about a value; it has no union in it. An error copies the value that is shown."""
        validator = self._parts.validator(node, use, build, self._spend)
        if validator is None or validator.is_valid(value):
            return
        for error in validator.iter_errors(shown(value)):
            place = (*path, *error.instance_path)
            match error.kind:
                case ValidationErrorKind.Required(property=name):
                    self._fault((*place, name), _REQUIRED)
                case ValidationErrorKind.Not():
                    self._fault(place, f"{_json(node.schema['not'])} is not allowed for {MASK}")
                case _:
                    self._fault(place, error.message)

    def _can_look_at(self, value: Any) -> bool:
        """Pay for a look at a whole value, if enough is left."""
        size = _size(value)
        if size > self._bytes:
            return False
        self._bytes -= size
        return True


_REQUIRED: Final = "is required"
_UNKNOWN: Final = "is not a known property"


def _size(value: Any) -> int:
    """Return how large a value is as JSON, which is quicker than to count what is in it."""
    return len(msgspec.json.encode(value)) if isinstance(value, dict | list | str) else 1


def _json(schema: Any) -> str:
    return msgspec.json.encode(schema).decode()


def _names(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Sequence[str]:
    """Return the members that a schema has something to say about, in its order."""
    properties = map_in(schema, "properties")
    known = [name for name in properties if name in value]
    if all(keyword not in schema for keyword in _OF_OTHERS):
        return known
    return known + [name for name in value if name not in properties]


def _members(node: Node) -> dict[str, Any]:
    """Return the schema of an object's members alone: nothing is required of it."""
    members: dict[str, Any] = {}
    for keyword in ("properties", "patternProperties"):
        members[keyword] = {name: ref_to(node.at(keyword, name)) for name in map_in(node.schema, keyword)}
    for keyword in ("additionalProperties", "propertyNames"):
        if keyword in node.schema:
            members[keyword] = ref_to(node.at(keyword))
    return members
