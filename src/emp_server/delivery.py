"""Read how a client wants its answer: held back until the job ends or not, and under which key it repeats itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from emp_core.errors import InvalidRequest
from emp_core.jobs import Idempotency

_WAIT: Final = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:[;,]|$)", re.IGNORECASE)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the answer may be held back, and the preference that is honoured by it (RFC 7240), if there was one."""

    seconds: float = 0.0
    preference_applied: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Give the header that says so."""
        return {} if self.preference_applied is None else {"Preference-Applied": self.preference_applied}


NO_WAIT: Final = Wait()


def read_wait(prefer: str, query: str | None, longest: timedelta) -> Wait:
    """Read `?wait=N` or `Prefer: wait=N`; more than the longest wait is cut to it, as RFC 7240 allows.

    Raises:
        InvalidRequest: `?wait` is not a number of seconds. A preference that is not understood is passed over.
    """
    most = longest.total_seconds()
    if query is not None:
        try:
            seconds = float(query)
        except ValueError:
            seconds = -1.0
        if not 0.0 <= seconds < float("inf"):
            raise InvalidRequest("wait is a number of seconds, 0 or more")
        return Wait(min(seconds, most))
    preference = _WAIT.search(prefer)
    if preference is None:
        return Wait()
    whole = int(min(float(preference[1]), most))
    return Wait(whole, f"wait={whole}")


def read_idempotency(headers: Mapping[bytes, bytes], scope: str, digest: Callable[[], str]) -> Idempotency | None:
    """Read the `Idempotency-Key` header: a quoted string as the draft standard says, or the bare key.

    `digest` is asked for only where there is a key.

    Raises:
        InvalidRequest: it is empty, too long, or has characters that cannot be seen.
    """
    text = headers.get(b"idempotency-key")
    if text is None:
        return None
    key = text.decode("latin-1").strip()
    quoted = _QUOTED.fullmatch(key)
    return make_idempotency(re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key, scope, digest())


def make_idempotency(key: str, scope: str, digest: str) -> Idempotency:
    """Bind a client's key to whose it is (`Caller.idempotency_scope`) and to the digest of its request.

    Raises:
        InvalidRequest: the key is empty, too long, or has characters that cannot be seen.
    """
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("an idempotency key is 1 to 255 visible ASCII characters")
    return Idempotency(scope, key, digest)
