"""Check payloads against announced JSON Schemas (draft 2020-12), offline: what a schema refers to is never fetched."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError, ValidationErrorKind

from emp_core.errors import InvalidPayload, PayloadFault
from emp_server.strict_json import pointer, shortened

FAULTS_SHOWN: Final = 20
_MASK: Final = "this value"
"""Stands in messages where the payload's own values would: an answer or a log line must not carry them."""


class SchemaUnusable(Exception):
    """An announced schema cannot be compiled; the worker's own check has to do."""


class PayloadCheck:
    """The compiled schema of one version of a job type."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile a schema.

        Raises:
            SchemaUnusable: it is not a JSON Schema, or refers to something outside itself.
        """
        try:
            self._validator = Draft202012Validator(dict(schema), validate_formats=True, offline=True, mask=_MASK)
        except (ValidationError, ReferencingError, ValueError) as error:
            raise SchemaUnusable(shortened(str(error))) from error

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
        raise _refusal(list(islice(_faults(self._validator.iter_errors(value)), FAULTS_SHOWN)))


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


def _faults(errors: Iterator[ValidationError]) -> Iterator[PayloadFault]:
    for error in errors:
        path = list(error.instance_path)
        match error.kind:
            case ValidationErrorKind.Required(property=name):
                yield PayloadFault(pointer(*path, name), "is required")
            case ValidationErrorKind.AdditionalProperties(unexpected=names):
                yield from (PayloadFault(pointer(*path, name), "is not a known property") for name in names)
            case ValidationErrorKind.AnyOf(context=branches) | ValidationErrorKind.OneOfNotValid(context=branches):
                nearest = _nearest(branches, len(path))
                if nearest is None:
                    yield PayloadFault(pointer(*path), shortened(error.message))
                else:
                    yield from _faults(iter(nearest))
            case _:
                yield PayloadFault(pointer(*path), shortened(error.message))


def _nearest(branches: list[list[ValidationError]], depth: int) -> list[ValidationError] | None:
    """Pick the alternative that was meant: the only one that the value has the right type for; None if unclear."""
    meant = [branch for branch in branches if not any(_is_of_other_type(error, depth) for error in branch)]
    return meant[0] if len(meant) == 1 else None


def _is_of_other_type(error: ValidationError, depth: int) -> bool:
    return error.kind.name in {"type", "const", "enum"} and len(error.instance_path) == depth
