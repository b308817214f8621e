"""The API keys of a namespace, hashed, and the sessions that browsers have opened with them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from emp_core.api_keys import ApiKey, Scope, is_key_id, is_key_name
from emp_core.store.batching import Pipeline
from emp_core.store.keys import namespace_tag
from emp_core.store.records import milliseconds, moment, unix_milliseconds

SESSION_BYTES: Final = 32


class ApiKeyStore:
    """API keys and sessions. Every call may raise StoreUnavailable; keys live until they are revoked."""

    def __init__(self, pipeline: Pipeline, namespace: str) -> None:
        self._pipeline = pipeline
        self._tag = namespace_tag(namespace)

    async def add(self, key: ApiKey) -> bool:
        """Store a key; False if its id is taken."""
        added = await self._pipeline.send(("HSETNX", f"{self._tag}:keys", key.key_id, _write(key)))
        return bool(added)

    async def all(self) -> list[ApiKey]:
        """Read every key, expired ones too; a damaged record is passed over: it opens nothing."""
        fields: Mapping[bytes, bytes] = await self._pipeline.send(("HGETALL", f"{self._tag}:keys"))
        return [key for key in map(read_key, fields.keys(), fields.values()) if key is not None]

    async def count(self) -> int:
        """Count the keys, damaged records too."""
        return int(await self._pipeline.send(("HLEN", f"{self._tag}:keys")))

    async def exist(self) -> bool:
        """Return whether there are keys; also where all of them are damaged, so that damage opens nothing."""
        return bool(await self._pipeline.send(("EXISTS", f"{self._tag}:keys")))

    async def revoke(self, key_id: str) -> bool:
        """Delete a key; False if there is none. Its sessions end with it."""
        return bool(await self._pipeline.send(("HDEL", f"{self._tag}:keys", key_id)))

    async def open_session(self, key_id: str, lasts: timedelta) -> str:
        """Open a session for a key, and give its token; only the token's digest is stored."""
        token = secrets.token_urlsafe(SESSION_BYTES)
        await self._pipeline.send(("SET", self._session(token), key_id, "PX", milliseconds(lasts)))
        return token

    async def session(self, token: str) -> str | None:
        """Give the id of the key that a session was opened with; None if there is no such session."""
        key_id: bytes | None = await self._pipeline.send(("GET", self._session(token)))
        return None if key_id is None else key_id.decode("latin-1")

    async def close_session(self, token: str) -> None:
        """End a session."""
        await self._pipeline.send(("DEL", self._session(token)))

    def _session(self, token: str) -> str:
        digest = hashlib.blake2b(token.encode(), digest_size=32, person=b"emp-session").hexdigest()
        return f"{self._tag}:session:{digest}"


class _Record(msgspec.Struct):
    name: str
    scopes: list[str]
    digest: str
    created_at: float
    expires_at: float | None = None
    rate: int | None = None


_decoder: Final = msgspec.json.Decoder(_Record)


def _write(key: ApiKey) -> bytes:
    expires_at = unix_milliseconds(key.expires_at)
    return msgspec.json.encode(
        _Record(
            name=key.name,
            scopes=sorted(key.scopes),
            digest=key.digest.hex(),
            created_at=int(unix_milliseconds(key.created_at)),
            expires_at=int(expires_at) if expires_at else None,
            rate=key.rate,
        )
    )


def read_key(key_id: bytes, text: bytes) -> ApiKey | None:
    """Read a key. A scope of a newer EMP is passed over: it allows nothing here."""
    try:
        record = _decoder.decode(text)
        created_at, name = moment(record.created_at), key_id.decode()
        if created_at is None or not is_key_id(name) or not is_key_name(record.name):
            return None
        return ApiKey(
            key_id=name,
            name=record.name,
            scopes=frozenset(Scope(scope) for scope in record.scopes if scope in set(Scope)),
            digest=bytes.fromhex(record.digest),
            created_at=created_at,
            expires_at=moment(record.expires_at),
            rate=record.rate,
        )
    except (msgspec.MsgspecError, OverflowError, ValueError):
        return None
