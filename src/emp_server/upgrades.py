"""Take the wish for another protocol out of a request, as a server that has none may (RFC 9110, section 7.8)."""

from __future__ import annotations

import re
from typing import Final

_UPGRADE: Final = re.compile(rb"(?i)(?<=\r\n)upgrade(?=[ \t]*:)")
# Of the same length, so that nothing else in the head moves.
_NOT_UPGRADED: Final = b"upgr-de"


_CUT: Final = re.compile(rb"(?i)\r(?:\n(?:u(?:p(?:g(?:r(?:a(?:d(?:e[ \t]*)?)?)?)?)?)?)?)?\Z")


def without_cut_upgrade(data: bytes) -> tuple[bytes, bytes]:
    """Split off the end of a packet that may be the first half of that wish, where the head goes on in the next one.

    A line break at the end is split off, too, so that the end of a head is never cut.
    """
    if b"\r\n\r\n" in data:
        return data, b""
    cut = _CUT.search(data, max(0, len(data) - 64))
    return (data, b"") if cut is None else (data[: cut.start()], data[cut.start() :])


def without_upgrade(data: bytes) -> bytes:
    """Give what a client sent without that wish, where the head is whole.

    Java's client and `curl --http2` ask for HTTP/2 with every first request, and the parser, once it has seen that,
    reads no body.
    """
    if b"pgrade" not in data and b"PGRADE" not in data:
        return data
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[:end]
    return _UPGRADE.sub(_NOT_UPGRADED, head) + data[len(head) :]
