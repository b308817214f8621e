"""Know the head of a request again: on one connection most requests differ in their bodies alone.

Two heads whose bytes are the same mean the same, so the second need not be read: only the length that it announces is
another. What is remembered ends with its connection, and with it whatever key is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Self

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: ?([0-9]{1,9})(?=\r\n)")
_LONGEST: Final = 4096
"""Bytes up to which a head is remembered: there may be ten thousand connections."""


class RepeatedHead:
    """The head of a request that has been read, with its headers."""

    __slots__ = ("_after", "_before", "headers")

    def __init__(self, before: bytes, after: bytes, headers: Mapping[bytes, bytes]) -> None:
        self._before = before
        self._after = after
        self.headers = headers

    @classmethod
    def of(cls, data: bytes, headers: Mapping[bytes, bytes]) -> Self | None:
        """Give the head that a request begins with, which the parser has accepted; None for one without a length."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST)
        length = None if end < 0 else _LENGTH.search(data, 0, end + 2)
        if length is None:
            return None
        return cls(data[: length.start(1)], data[length.end(1) : end + 4], headers)

    def body_of(self, data: bytes) -> bytes | None:
        """Give the body of a request with this head that is here as a whole and alone; None for all else."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        end = data.find(b"\r", len(before), len(before) + 10)
        digits = data[len(before) : end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        return body if len(body) == int(digits) else None
