"""Recognise API keys and sessions: a short memory of the store's keys, so that a request costs no read.

Keys are read again when they are older than `keys_fresh_for`, however many ask at once; that is also how long a revoked
key may still open (a second by default).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from emp_core.api_keys import ApiKey, parts_of
from emp_core.errors import StoreError, Unauthenticated
from emp_core.store import ApiKeyStore
from emp_server.callers import ANYONE, Caller, caller_of
from emp_server.settings import ServerSettings
from emp_server.shared_reading import AHEAD, SharedReading

SESSION_COOKIE: Final = "emp_session"
SESSIONS_REMEMBERED: Final = 10_000
LONGEST_CREDENTIAL: Final = 256

_BEARER: Final = b"bearer "
_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class _Keys:
    """All keys at one moment (`read_at` in the event loop's seconds), and the sessions met since."""

    by_id: Mapping[str, Caller] = field(default_factory=dict)
    read_at: float = _NEVER
    sessions: dict[str, str | None] = field(default_factory=dict)


class KeyRing:
    """Knows the keys of a namespace.

    A key is asked for beyond loopback, where the settings say so, and on loopback as soon as there is one; a server
    that has asked once does not stop asking, whatever becomes of the keys. With `insecure` none is ever asked for.
    """

    def __init__(self, store: ApiKeyStore, settings: ServerSettings) -> None:
        self._store = store
        self._fresh_for = settings.keys_fresh_for.total_seconds()
        self._never_asks = settings.insecure
        self._asks = settings.asks_for_keys
        self._keys = _Keys()
        self._reading = SharedReading(self._read)
        # What a key that does not exist is compared with, so that the answer takes as long.
        self._nobody = caller_of(ApiKey("0" * 12, "nobody", frozenset(), bytes(32), datetime.now(tz=UTC)))

    @property
    def asks(self) -> bool:
        """Tell whether a request without a key is refused."""
        return self._asks and not self._never_asks

    async def recognise(self, headers: Mapping[bytes, bytes], *, outage: bool = False) -> Caller:
        """Give who sends a request with these headers.

        Args:
            headers: the request's.
            outage: while the store is away, whoever was known when it was last read is known still.

        Raises:
            Unauthenticated: a key is asked for, and none that counts is shown.
            StoreUnavailable: the keys cannot be read.
        """
        keys = self._keys
        if asyncio.get_running_loop().time() - keys.read_at >= self._fresh_for:
            try:
                keys = await self._reading.again()
            except StoreError:
                if not outage or (keys.read_at == _NEVER and not self._never_asks):
                    raise
        cookie = headers.get(b"cookie")
        token = None if cookie is None or b"authorization" in headers else session_token(cookie)
        caller = None if token is None else await self._of_session(keys, token)
        return caller or self._without_session(keys, headers)

    def recognised(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Give who sends a request without a cookie, where the keys were read just now; None where they were not.

        Raises:
            Unauthenticated: a key is asked for, and none that counts is shown.
        """
        age = asyncio.get_running_loop().time() - self._keys.read_at
        if age >= self._fresh_for:
            return None
        if age >= self._fresh_for * AHEAD:
            self._reading.ahead()
        return self._without_session(self._keys, headers)

    def _without_session(self, keys: _Keys, headers: Mapping[bytes, bytes]) -> Caller:
        shown = headers.get(b"authorization")
        if shown is not None:
            return self._holder(keys, shown)
        if self.asks:
            raise Unauthenticated("send an API key: Authorization: Bearer emp_...")
        return ANYONE

    async def holder_of(self, text: str) -> Caller:
        """Give the holder of a key whose text somebody has typed in.

        Raises:
            Unauthenticated: it is no key that counts.
        """
        return self._recognised(await self._reading.again(), text)

    def _holder(self, keys: _Keys, shown: bytes) -> Caller:
        """Give the holder of the key in an Authorization header (RFC 6750)."""
        if not self.asks:
            # Whoever has no key may do all here; one for another server is no reason to refuse.
            try:
                return self._holder_if_asked(keys, shown)
            except Unauthenticated:
                return ANYONE
        return self._holder_if_asked(keys, shown)

    def _holder_if_asked(self, keys: _Keys, shown: bytes) -> Caller:
        if len(shown) > LONGEST_CREDENTIAL or shown[:7].lower() != _BEARER:
            raise Unauthenticated("the Authorization header is not one with a key: send Bearer emp_...")
        return self._recognised(keys, shown[7:].strip().decode("latin-1"))

    def _recognised(self, keys: _Keys, text: str) -> Caller:
        parts = parts_of(text)
        if parts is None:
            raise Unauthenticated("this is not an API key of EMP: those look like emp_..._...")
        key_id, secret = parts
        caller = keys.by_id.get(key_id, self._nobody)
        key = caller.key
        if key is None or not key.opens_with(secret) or key.expired(datetime.now(tz=UTC)):
            raise Unauthenticated("this API key is unknown, revoked or expired")
        return caller

    async def _of_session(self, keys: _Keys, token: str) -> Caller | None:
        """Give the holder of the key that a session was opened with; None where either is over."""
        if token not in keys.sessions:
            if len(keys.sessions) >= SESSIONS_REMEMBERED:
                keys.sessions.clear()
            keys.sessions[token] = await self._store.session(token)
        caller = keys.by_id.get(keys.sessions[token] or "")
        if caller is None or caller.key is None or caller.key.expired(datetime.now(tz=UTC)):
            return None
        return Caller(caller.name, caller.scopes, caller.key, token)

    def forget(self) -> None:
        """Read the keys and sessions again at the next question."""
        self._keys = _Keys()

    async def _read(self) -> _Keys:
        begun = asyncio.get_running_loop().time()
        known, exist = await asyncio.gather(self._store.all(), self._store.exist())
        self._asks = self._asks or exist
        self._keys = _Keys({key.key_id: caller_of(key) for key in known}, begun)
        return self._keys


def session_token(cookie: bytes) -> str | None:
    """Give the session's token in a Cookie header (RFC 6265, section 4.2)."""
    for pair in cookie.decode("latin-1").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == SESSION_COOKIE and 0 < len(value) <= LONGEST_CREDENTIAL:
            return value
    return None
