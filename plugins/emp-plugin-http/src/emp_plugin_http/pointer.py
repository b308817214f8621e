"""Read JSON that a service sent, and find values in it by JSON pointers (RFC 6901)."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

from pydantic import Field

from emp_worker import JobError

Pointer = Annotated[str, Field(max_length=1024, pattern=r"^(/([^/~]|~[01])*)*$")]
NOTHING: Final = object()
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def find(document: Any, pointer: str) -> Any:
    """Give what a pointer leads to, or `NOTHING`."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            return NOTHING
    return document


def as_word(value: Any) -> str:
    """Give a value as a payload names it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def read_json(data: bytes, whose: str) -> Any:
    """Read an answer's JSON.

    Raises:
        JobError: `not_json`; another attempt may fare better.
    """
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise JobError(f"what {whose} answered is no JSON", code="not_json") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
