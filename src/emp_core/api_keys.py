"""API keys: what one may do, what it looks like, and how it is recognised. No I/O.

A key is `emp_<id>_<secret>`. The secret is 256 random bits, so that a fast digest of it is as good as a slow one is for
a password; only the digest is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

NAME_LENGTH: Final = 64

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 52
_KEY: Final = re.compile(r"emp_([0-9a-hjkmnp-tv-z]{12})_([0-9a-hjkmnp-tv-z]{52})", re.ASCII)
_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{12}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    """Submit jobs; see and cancel those that the same key has submitted."""
    READ = "read"
    """See every job, type, worker and number."""
    OPERATE = "operate"
    """And cancel and revive any job, pause and resume types, drain workers."""
    ADMIN = "admin"
    """Everything, and manage keys."""


_IMPLIED: Final = {
    Scope.SUBMIT: frozenset({Scope.SUBMIT}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.READ, Scope.OPERATE}),
    Scope.ADMIN: frozenset(Scope),
}


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Give all that scopes allow: who operates must see, and an admin may do everything."""
    return frozenset[Scope]().union(*(_IMPLIED[scope] for scope in scopes))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. `digest` is that of its secret; `rate` the submissions a second, None for the server's."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    rate: int | None = None

    def opens_with(self, secret: str) -> bool:
        """Tell in constant time whether a secret is this key's."""
        return hmac.compare_digest(self.digest, digest_of(self.key_id, secret))

    def expired(self, now: datetime) -> bool:
        """Tell whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def new_key(
    name: str, scopes: Iterable[Scope], *, expires_at: datetime | None = None, rate: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key, and give it with its text, which nobody can learn again."""
    key_id, secret = _random(_ID_LENGTH), _random(_SECRET_LENGTH)
    key = ApiKey(key_id, name, frozenset(scopes), digest_of(key_id, secret), datetime.now(tz=UTC), expires_at, rate)
    return key, f"emp_{key_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Give the id and the secret in a key's text; None if it has not the form of a key."""
    match = _KEY.fullmatch(text)
    return None if match is None else (match[1], match[2])


def digest_of(key_id: str, secret: str) -> bytes:
    """Digest a secret; keyed with the id, so that a digest is of use for one key only."""
    return hashlib.blake2b(secret.encode(), digest_size=32, key=key_id.encode(), person=b"emp-api-key").digest()


def is_key_id(text: str) -> bool:
    """Tell whether a text has the form of a key's id."""
    return _ID.fullmatch(text) is not None


def is_key_name(text: str) -> bool:
    """Tell whether a text may name a key: 1 to 64 of letters, digits and `. _ @ -`, a letter or digit first."""
    return _NAME.fullmatch(text) is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
