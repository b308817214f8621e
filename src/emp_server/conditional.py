"""Tell a client that what it has is what there is: `If-None-Match` against the entity tag of an answer."""

from __future__ import annotations


def is_known(if_none_match: str, tag: str) -> bool:
    """Tell whether a header names this entity tag; compared weakly, as RFC 9110 (section 13.1.2) asks for."""
    names = {name.strip().removeprefix("W/") for name in if_none_match.split(",")}
    return tag in names or "*" in names
