"""Trace contexts as texts: a W3C `traceparent`, and after a space the `tracestate` that came with it, if any.

What comes from outside is read by the rules of W3C Trace Context: what breaks them is no context, and never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

STATE_LIMIT: Final = 512
"""Characters of a `tracestate` that are passed on; W3C Trace Context, section 3.3.1.5, asks for as many at least."""
_MEMBERS: Final = 32
_LARGE_MEMBER: Final = 128
_PARENT: Final = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_MEMBER: Final = re.compile(
    rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


def read_trace(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Read the context of a request from its headers, whose names are in lower case; empty where there is none."""
    parents, states = [], []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    match = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    # A later version may say more behind the flags, of which we know one.
    if match is None or (match["version"] == b"00" and match["more"] is not None):
        return ""
    known = match["flags"] if match["version"] == b"00" else b"%02x" % (int(match["flags"], 16) & 1)
    parent = b"00-%s-%s-%s" % (match["trace"], match["span"], known)
    return joined(parent.decode(), _state(states))


def joined(parent: str, state: str) -> str:
    """Give the text of a context."""
    return f"{parent} {state}" if state else parent


def carrier(trace: str) -> Mapping[str, str]:
    """Give a context as the headers that it would be, which is the form that OpenTelemetry reads."""
    parent, _, state = trace.partition(" ")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def _state(values: Sequence[bytes]) -> str:
    """Read a `tracestate`, which may stand in several headers; one bad member spoils it all."""
    members = [member for each in values for member in (part.strip(b" \t") for part in each.split(b",")) if member]
    names = {member.partition(b"=")[0] for member in members}
    if len(members) > _MEMBERS or len(names) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    if _length(members) > STATE_LIMIT:  # the large ones go first, then the last ones
        members = [member for member in members if len(member) <= _LARGE_MEMBER]
    while _length(members) > STATE_LIMIT:
        members.pop()
    return b",".join(members).decode()


def _length(members: Sequence[bytes]) -> int:
    return sum(map(len, members)) + len(members) - 1
