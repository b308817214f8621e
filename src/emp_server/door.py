"""Stand in front of every route: refuse what web pages may not send, and arm every answer.

Against web pages that reach for a server on loopback: the `Host` must be one of ours (a rebound name is not), and
requests that a browser sends for a foreign page are refused, on every method and path.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emp_core import logs
from emp_core.errors import InternalError, NotAllowed
from emp_server.metrics.traffic import Traffic
from emp_server.problems import REQUEST_ID, problem_answer
from emp_server.refusals import Refusals
from emp_server.settings import LOOPBACK, ServerSettings

EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
CONTENT_SECURITY: Final = b"default-src 'none'; frame-ancestors 'none'"

ARMOUR: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", CONTENT_SECURITY),
    (b"cache-control", b"no-store"),
)
"""What every answer carries beside the id of its request."""
_ARMOUR_NAMES: Final = frozenset(name for name, _ in ARMOUR)
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/\s]+?)\.?(:\d{1,5})?")

_log = structlog.get_logger()


class Door:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, refusals: Refusals, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic
        self._refusals = refusals
        self._names = LOOPBACK | {name.lower().rstrip(".") for name in settings.allowed_hosts}
        self._beyond_loopback = settings.beyond_loopback
        if settings.host not in EVERY_ADDRESS:
            self._names |= {settings.host.lower()}
        self._known: set[bytes] = set()
        # Nobody has to guess a request's id, it only has to be another one: chance once, then counted.
        self._chance = secrets.token_hex(4).encode()
        self._requests = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = self.name(headers)
        scope[REQUEST_ID] = request_id.decode()
        logs.concern(request_id=scope[REQUEST_ID])
        started = False
        traffic, begun = self._traffic, perf_counter()

        async def send_armoured(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                traffic.answered(scope, message["status"], perf_counter() - begun)
                message["headers"] = _armoured(message["headers"], request_id)
            await send(message)

        refusal = self.refusal(headers)
        if refusal is not None:
            self._refusals.count(refusal)
            await problem_answer(refusal, scope)(scope, receive, send_armoured)
            return
        traffic.under_way += 1
        try:
            await self._app(scope, receive, send_armoured)
        except Exception:  # noqa: BLE001 - the outermost place: whatever it is, the client gets an answer and the log the traceback
            _log.exception("request_failed", request_id=scope[REQUEST_ID], method=scope["method"], path=scope["path"])
            if not started:
                fault = InternalError("an unexpected fault; the server's log has it")
                await problem_answer(fault, scope)(scope, receive, send_armoured)
        finally:
            traffic.under_way -= 1

    def name(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Give the id of a request: the one that it brought, if it can do no harm, or a new one."""
        request_id = headers.get(b"x-request-id")
        if request_id is None or _REQUEST_ID.fullmatch(request_id) is None:
            return b"%b%08x" % (self._chance, next(self._requests) & 0xFFFFFFFF)
        return request_id

    def refusal(self, headers: Mapping[bytes, bytes]) -> NotAllowed | None:
        """Give why a request with these headers is not let in; None where it is."""
        host = headers.get(b"host", b"")
        if host not in self._known:
            if not self._is_ours(host.decode("latin-1").lower()):
                return NotAllowed("this server is not known by the name in the Host header; see EMP_ALLOWED_HOSTS")
            if len(self._known) < 64:
                self._known.add(host)
        if headers.get(b"sec-fetch-site") == b"cross-site":
            return NotAllowed("a page of another site may not send this")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower().partition(b"://")[2] != host.lower():
            return NotAllowed("a page of another origin may not send this")
        return None

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]")
        # A name can be made to point here by whoever owns it, an address cannot.
        return name in self._names or (self._beyond_loopback and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _armoured(headers: list[tuple[bytes, bytes]], request_id: bytes) -> list[tuple[bytes, bytes]]:
    """Add what every answer carries; a page brings its own policies, a cacheable answer its own cache rule."""
    own = [name for name, _ in headers if name in _ARMOUR_NAMES]
    armour = [each for each in ARMOUR if each[0] not in own] if own else ARMOUR
    return [*headers, *armour, (b"x-request-id", request_id)]
