"""Check payloads against announced JSON Schemas (draft 2020-12), offline: what a schema refers to is never fetched."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, Final

import msgspec

from emp_core.errors import InvalidPayload, PayloadFault
from emp_core.json_schema import SchemaUnusable, check_expanded_size, compiled
from emp_core.schema_faults import SchemaFaults
from emp_server.strict_json import pointer, shortened

FAULTS_SHOWN: Final = 20


class PayloadCheck:
    """The compiled schema of one version of a job type."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema.

        Raises:
            SchemaUnusable: it is not a JSON Schema, refers to something outside itself, or may take too long to check.
        """
        self._schema = schema
        try:
            check_expanded_size(schema)
            self._validator = compiled(schema)
        except SchemaUnusable as error:
            raise SchemaUnusable(shortened(str(error))) from error

    @cached_property
    def _faults(self) -> SchemaFaults:
        return SchemaFaults(self._schema)

    def __call__(self, payload: bytes) -> None:
        """Check a payload.

        Raises:
            InvalidPayload: it does not fit; each fault has a pointer into the payload.
        """
        try:
            value = msgspec.json.decode(payload)
        except msgspec.DecodeError as error:  # a number that no machine number holds
            faults = list(islice(_number_faults(payload), FAULTS_SHOWN))
            raise _refusal(faults or [PayloadFault("", shortened(str(error)))]) from error
        if self._validator.is_valid(value):
            return
        found = self._faults.find(value, FAULTS_SHOWN)
        raise _refusal([PayloadFault(pointer(*path), shortened(message)) for path, message in found])


def _refusal(faults: list[PayloadFault]) -> InvalidPayload:
    first = faults[0]
    return InvalidPayload(f"{first.pointer or 'the payload'}: {first.message}", faults=faults)


def _number_faults(payload: bytes) -> Iterator[PayloadFault]:
    """Find the numbers that are too large, of well-formed JSON that holds one; msgspec does not say where."""
    yield from _too_large(json.loads(payload, parse_int=_integer), ())


def _integer(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:  # Python, and msgspec with it, reads at most 4,300 digits
        return math.inf


def _too_large(value: Any, path: tuple[str | int, ...]) -> Iterator[PayloadFault]:
    match value:
        case float() if math.isinf(value):
            yield PayloadFault(pointer(*path), "is a number out of range")
        case dict():
            for name, each in value.items():
                yield from _too_large(each, (*path, name))
        case list():
            for at, each in enumerate(value):
                yield from _too_large(each, (*path, at))
        case _:
            pass
