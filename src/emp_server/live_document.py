"""Keep the OpenAPI document of this moment: written again when a job type comes, changes or goes, and only then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from emp_server.catalog import KnownType
from emp_server.openapi import Describer


@dataclass(frozen=True, slots=True)
class Described:
    """The document as a value and as it is sent, and the entity tag that names it."""

    document: Mapping[str, Any]
    text: bytes
    entity_tag: str


class LiveDocument:
    """Remembers the last document; writing one takes some hundredths of a second."""

    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        self._made_of: object = None
        self._described = Described({}, b"", "")

    def of(self, types: Mapping[str, KnownType], *, asks_for_keys: bool) -> Described:
        """Give the document for the job types known now, and for whether an API key is asked for now."""
        made_of = asks_for_keys, [(name, known.newest) for name, known in types.items()]
        if made_of != self._made_of:
            document = self._describer.document(types, asks_for_keys=asks_for_keys)
            text = msgspec.json.encode(document)
            self._described = Described(document, text, f'"{hashlib.sha256(text).hexdigest()[:32]}"')
            self._made_of = made_of
        return self._described
