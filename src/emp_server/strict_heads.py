"""Reject request headers that another server in front of this one may read differently (RFC 9112).

The parser accepts them. What two servers read differently lets one request hide in another, or pass its check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from emp_core.errors import InvalidRequest

VERSIONS: Final = frozenset({"1.0", "1.1"})
_SINGLE: Final = (b"host", b"authorization")
"""Fields that decide whom a request addresses, and who sends it."""


def ambiguity(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> InvalidRequest | None:
    """Return why a request is rejected; None if there is one way to read it."""
    if version not in VERSIONS:
        return InvalidRequest(f"HTTP/{version} is not supported here; send HTTP/1.1")
    by_name = dict(headers)
    if len(by_name) < len(headers):
        names = [name for name, _ in headers]
        for name in _SINGLE:
            if names.count(name) > 1:
                return InvalidRequest(f"the header {name.decode()} comes twice; send it once")
    coding = by_name.get(b"transfer-encoding")
    if coding is not None and coding.strip().lower() != b"chunked":
        return InvalidRequest("the only transfer encoding supported is chunked")
    if not target.startswith(b"/") and not _is_addressed_to(target, by_name):
        return InvalidRequest("the host of the request's target differs from the Host header")
    return None


def _is_addressed_to(target: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether an absolute target, if it is one, has the host of the Host header."""
    _, separator, rest = target.partition(b"://")
    authority = rest.partition(b"/")[0].partition(b"?")[0]
    return not separator or authority.lower() == headers.get(b"host", b"").strip().lower()
