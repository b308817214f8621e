"""Make a payload of what stands on the command line: a JSON argument, and `-p key=value` over it."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from emp_core.cli.schema_fields import Schema, WrongType, base64_form, field_schemas, strict_json, typed
from emp_core.errors import InvalidPayload, PayloadFault

_DOT: Final = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `-p`: the path that its key names, and its value: a text, or a file that holds it (`-`: standard input)."""

    path: tuple[str, ...]
    text: str
    file: str | None = None

    @property
    def pointer(self) -> str:
        """Give the place in the payload (RFC 6901)."""
        return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in self.path)


def parse_parameter(argument: str) -> Parameter:
    r"""Read `key=value`, `key=@file` or `key=@@text`; `a.b=1` goes into an object, `a\.b` is one name.

    Raises:
        click.UsageError: it has no key or no `=`.
    """
    key, equals, value = argument.partition("=")
    path = tuple(part.replace(r"\.", ".") for part in _DOT.split(key))
    if not equals or not all(path):
        raise click.UsageError(f"-p {argument!r} is not key=value, key=@file or a.b=value")
    if value.startswith("@@"):
        return Parameter(path, value[1:])
    return Parameter(path, "", value[1:]) if value.startswith("@") else Parameter(path, value)


def read_payload(argument: str | None) -> bytes:
    """Give the JSON of the PAYLOAD argument: itself, the file of `@file`, or standard input for `-`.

    Raises:
        click.UsageError: the file cannot be read.
        InvalidPayload: it is not JSON; the message says where.
    """
    if argument is None:
        return b"{}"
    if argument == "-" or argument.startswith("@"):
        text = _read_file(argument.removeprefix("@"))
    else:
        text = argument.encode(errors="surrogateescape")
    if not text.strip():
        raise InvalidPayload("the payload is empty; send JSON, {} for instance")
    try:
        strict_json(text.decode())
    except RecursionError as error:
        raise InvalidPayload("the payload is nested too deep") from error
    except UnicodeDecodeError as error:
        raise InvalidPayload(f"the payload is not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise InvalidPayload(f"the payload is not JSON: {error}") from error
    return text


def with_parameters(payload: bytes, parameters: Sequence[Parameter], schema: Schema) -> bytes:
    """Lay parameters over a JSON object, each typed by the schema; without any the bytes stay as they are.

    Raises:
        click.UsageError: the payload is not an object, or two parameters want one place.
        InvalidPayload: a value does not fit its field; `faults` names each.
    """
    if not parameters:
        return payload
    root = json.loads(payload)
    if not isinstance(root, dict):
        raise click.UsageError("-p needs a payload that is a JSON object")
    _refuse_collisions(parameters)
    faults: list[PayloadFault] = []
    for parameter in parameters:
        try:
            _put(root, parameter, _value(parameter, field_schemas(schema, parameter.path)))
        except WrongType as error:
            faults.append(PayloadFault(parameter.pointer, str(error)))
    if faults:
        raise InvalidPayload("the payload does not fit the job type's schema", faults=faults)
    try:
        return json.dumps(root, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:  # 1e999, and halves of surrogate pairs
        raise InvalidPayload(f"the payload cannot be sent as JSON: {error}") from error


def _refuse_collisions(parameters: Sequence[Parameter]) -> None:
    for index, one in enumerate(parameters):
        for other in parameters[:index]:
            shorter = min(len(one.path), len(other.path))
            if one.path[:shorter] == other.path[:shorter]:
                raise click.UsageError(f"-p {'.'.join(other.path)} and -p {'.'.join(one.path)} want the same place")


def _value(parameter: Parameter, schemas: Sequence[Schema]) -> Any:
    if parameter.file is None:
        return typed(parameter.text, schemas)
    content = _read_file(parameter.file)
    form = base64_form(schemas)
    if form is not None:
        encode = base64.urlsafe_b64encode if form == "base64url" else base64.b64encode
        return encode(content).decode()
    try:
        return typed(content.decode(), schemas)
    except UnicodeDecodeError as error:
        raise WrongType(f"takes text, and {parameter.file} is not UTF-8") from error


def _put(root: dict[str, Any], parameter: Parameter, value: Any) -> None:
    place = root
    for name in parameter.path[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise click.UsageError(f"-p {'.'.join(parameter.path)}: {name!r} is not an object in the payload")
    place[parameter.path[-1]] = value


def _read_file(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {name!r}: {error.strerror}") from error
