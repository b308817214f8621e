"""Say in our own words how the store fails us: one table of what it says, when, and what EMP makes of it.

docs/reference/store-errors.md is made from the table; every row has its test.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import AuthenticationError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from emp_core.errors import EmpError, InternalError, StoreError, StoreFull, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which the store fails us.

    Args:
        says: the code that its error begins with, or in words what happens instead of an answer.
        when: what is the matter with it.
        error: what is raised: StoreUnavailable is answered 503 and StoreFull 507, both with Retry-After.
        words: how the error begins.
        may_have_run: whether the call may have been carried out all the same.
        stops_start: whether a server or a worker that meets it at its start ends with exit code 2. One that runs goes
            on and tries again: the store's side may be mended without it.
        stops: whether a running server or worker ends with exit code 2, too: only another release can go on.
    """

    says: str
    when: str
    error: type[StoreError] = StoreUnavailable
    words: str = "the store cannot answer now"
    may_have_run: bool = False
    stops_start: bool = False
    stops: bool = False


_FULL: Final = "the store refuses to write"
_NOT_LET_IN: Final = "the store does not let us in; check the user and password in redis_url"
_DAMAGED: Final = "the store's data is damaged; run `emp doctor --fix`"
_SILENT: Final = "no answer from the store"

TIMEOUT: Final = Refusal("no answer in time", "it is frozen, overloaded or cut off", words=_SILENT, may_have_run=True)
LOST: Final = Refusal("the connection is lost", "it ended or was cut off", words=_SILENT, may_have_run=True)
REFUSED: Final = Refusal("the connection is refused", "it does not run, or not there", words=_SILENT)
MAX_CLIENTS: Final = Refusal("max number of clients reached", "it has `maxclients` connections")
NOT_LET_IN: Final = Refusal(
    "NOAUTH", "it wants a password, and redis_url has none", words=_NOT_LET_IN, stops_start=True
)

FORMAT: Final = Refusal(
    "EMPFORMAT",
    "it was written by a release with another format",
    words="this release cannot work on the store",
    stops_start=True,
    stops=True,
)

REFUSALS: Final = (
    Refusal("WRONGTYPE", "a key of EMP's holds something else, written by hand or by another program", words=_DAMAGED),
    Refusal("READONLY", "it is a replica: a failover is under way, or redis_url names the wrong one"),
    Refusal("LOADING", "it has started and reads its data"),
    Refusal("BUSY", "somebody's script runs for longer than `busy-reply-threshold`"),
    Refusal("OOM", "its memory is at `maxmemory`", StoreFull, _FULL),
    Refusal("MISCONF", "it cannot write to its disk", StoreFull, _FULL),
    Refusal("NOREPLICAS", "fewer replicas than `min-replicas-to-write` follow it"),
    Refusal("CLUSTERDOWN", "its cluster has lost slots"),
    Refusal("TRYAGAIN", "a slot of its cluster is being moved"),
    Refusal("MOVED", "the slot is on another node of its cluster"),
    Refusal("ASK", "the slot is being moved to another node of its cluster"),
    Refusal("MASTERDOWN", "it is a replica that has lost its primary"),
    Refusal("NOSCRIPT", "its scripts were flushed again and again; once is mended unseen"),
    Refusal("UNBLOCKED", "it became a replica during a wait"),
    NOT_LET_IN,
    Refusal("WRONGPASS", "the user or the password in redis_url is wrong", words=_NOT_LET_IN, stops_start=True),
    Refusal("NOPERM", "its user may not run EMP's commands", words=_NOT_LET_IN, stops_start=True),
    Refusal("DENIED", "it is in protected mode", words=_NOT_LET_IN, stops_start=True),
    FORMAT,
    MAX_CLIENTS,
    TIMEOUT,
    LOST,
    REFUSED,
)
"""Every way in which a store fails us that EMP knows. Any other error of the store is a fault of EMP itself (500)."""

_BY_CODE: Final = {row.says: row for row in REFUSALS if row.says.isupper()}
_BY_KIND: Final[tuple[tuple[tuple[type[Exception], ...], Refusal | None], ...]] = (
    ((OutOfMemoryError,), _BY_CODE["OOM"]),
    ((AuthenticationError,), NOT_LET_IN),
    ((RedisTimeoutError, TimeoutError), TIMEOUT),
    ((RedisConnectionError, OSError), LOST),
    ((ResponseError,), None),
    ((RedisError,), LOST),
)
"""For errors of redis-py that bring no code that we know; the first kind that fits counts."""
_NOT_THERE: Final = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
"""What connecting raises before a byte of a call was sent."""


_EMPTY: Final[Mapping[str, Callable[[], Any]]] = {
    "GET": lambda: None,
    "GETRANGE": bytes,
    "HEXISTS": int,
    "HGET": lambda: None,
    "HGETALL": dict,
    "HLEN": int,
    "HSTRLEN": int,
    "LLEN": int,
    "LRANGE": list,
    "SCARD": int,
    "SISMEMBER": int,
    "SMEMBERS": set,
    "SRANDMEMBER": list,
    "SSCAN": lambda: [0, []],
    "STRLEN": int,
    "ZCARD": int,
    "ZRANGEBYSCORE": list,
    "ZRANK": lambda: None,
    "ZREVRANGEBYSCORE": list,
    "ZSCAN": lambda: [0, []],
    "ZSCORE": lambda: None,
}
"""What reads answer for a key that does not exist."""


def or_empty(command: str, reply: Any) -> Any:
    """Return a reply; for a read of a key of another type, what an empty key is answered with: the key is damaged."""
    if isinstance(reply, Exception) and _code(reply) == "WRONGTYPE" and command in _EMPTY:
        return _EMPTY[command]()
    return reply


def explain(error: Exception) -> EmpError:
    """Turn redis-py's error into ours; one that is ours already stays as it is."""
    if isinstance(error, EmpError):
        return error
    text = str(error)
    code = _code(error)
    said = text if text.startswith(code) else f"{code} {text}"
    row = refusal_of(error)
    if row is None:
        return InternalError(f"the store refused a command: {said}")
    known_code = code if code in _BY_CODE else row.says if row is MAX_CLIENTS else ""
    told = said if row.words is not _SILENT else text or type(error).__name__
    return row.error(f"{row.words}: {told}", code=known_code, may_have_run=row.may_have_run)


def refusal_of(error: Exception) -> Refusal | None:
    """Find the row of redis-py's error; None where there is none."""
    known = _BY_CODE.get(_code(error))
    if known is not None:
        return known
    if MAX_CLIENTS.says in str(error):
        return MAX_CLIENTS
    for kinds, row in _BY_KIND:
        if isinstance(error, kinds):
            return REFUSED if row is LOST and _never_connected(error) else row
    return None


def stops_start(error: StoreError) -> bool:
    """Tell whether a process that meets this error at its start should end: waiting will not mend it."""
    row = _BY_CODE.get(error.code)
    return row is not None and row.stops_start


def needs_other_release(error: StoreError) -> bool:
    """Return whether a process that meets this error has to end: the store has the format of another release."""
    row = _BY_CODE.get(error.code)
    return row is not None and row.stops


def was_sent(error: Exception) -> bool:
    """Tell whether the call that failed so may have been carried out."""
    row = refusal_of(error)
    return row is None or row.may_have_run


def _code(error: Exception) -> str:
    # For codes that it knows, redis-py takes the code off the text and puts it beside.
    status_code = error.status_code if isinstance(error, RedisError) else None
    return status_code or str(error).partition(" ")[0]


def _never_connected(error: BaseException | None) -> bool:
    """Tell whether connecting failed; redis-py keeps the reason as the error's context."""
    while error is not None:
        if isinstance(error, _NOT_THERE):
            return True
        error = error.__cause__ or error.__context__
    return False
