"""Behind the door, ask who it is: every request has a caller before anything looks at it, or is refused here.

Open are the paths of `OPEN_PATHS` and the monitor's files; all else, what does not exist included, needs a key as soon
as keys are asked for (`keyring.py`). What the caller may do is the affair of the route (`access.py`).

For pages: a browser shows no key but a session (`sessions.py`), and is sent to `/login` where it has none.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final
from urllib.parse import quote

import structlog
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emp_core.errors import EmpError, NotAllowed, Unauthenticated
from emp_server.access import AUDITED
from emp_server.audit import Rejections
from emp_server.callers import CALLER, STRANGER, Caller
from emp_server.crowd import Crowd
from emp_server.keyring import KeyRing
from emp_server.monitor.routes import PAGE_ROOTS, error_page
from emp_server.problems import REQUEST_ID, problem_answer
from emp_server.refusals import Refusals
from emp_server.strict_json import shortened

LOGIN: Final = "/login"
OPEN_PATHS: Final = frozenset(
    {
        "/livez",
        "/readyz",
        LOGIN,
        *(f"/ui/{file.name}" for file in files("emp_server.monitor").joinpath("static").iterdir()),
    }
)
"""What needs no key: whether the server lives, the way in, and files that are the same for everybody."""
METRICS: Final = "/metrics"
"""What is told during an outage of the store, too: that there is one."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})

_audit = structlog.get_logger("emp.audit")


class Gate:
    """An ASGI application around another one."""

    def __init__(
        self, app: ASGIApp, keyring: KeyRing, crowd: Crowd, refusals: Refusals, rejections: Rejections
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._crowd = crowd
        self._refusals = refusals
        self._rejections = rejections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            caller = await self._caller_of(scope, headers)
            if caller.token is not None and scope["method"] not in SAFE_METHODS:
                _refuse_forged(headers)
        except EmpError as error:
            self._refusals.count(error)
            if isinstance(error, Unauthenticated) and b"authorization" in headers:
                self._rejections.log("key_rejected", scope, error.detail)
            await self._refusal(error, scope, headers)(scope, receive, send)
            return
        scope[CALLER] = caller
        if scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        with self._crowd.body(headers, receive) as counted:
            await self._audited(scope, counted, send, caller)

    async def _caller_of(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller:
        path = scope["path"]
        if path in OPEN_PATHS:
            return STRANGER
        return await self._keyring.recognise(headers, outage=path == METRICS)

    async def _audited(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Serve a request that may change something, and log who did it if its route says so."""
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"]
        try:
            await self._app(scope, receive, send_noting)
        finally:
            if AUDITED in scope:
                _audit.info(
                    "audit",
                    method=scope["method"],
                    path=shortened(path),
                    status=status,
                    key=caller.owner,
                    by=caller.name,
                    request_id=scope.get(REQUEST_ID, ""),
                )

    def _refusal(self, error: EmpError, scope: Scope, headers: dict[bytes, bytes]) -> Response:
        root = scope["path"].lstrip("/").partition("/")[0]
        if root not in PAGE_ROOTS and (root == "v1" or b"text/html" not in headers.get(b"accept", b"")):
            return problem_answer(error, scope)
        if isinstance(error, Unauthenticated) and scope["method"] in SAFE_METHODS:
            query = scope["query_string"].decode("latin-1")
            to = scope["path"] + (f"?{query}" if query else "")
            return RedirectResponse(f"{LOGIN}?to={quote(shortened(to), safe='/')}", 303)
        return error_page(scope, error)


def _refuse_forged(headers: dict[bytes, bytes]) -> None:
    """Refuse what a browser may have been made to send: a session alone proves no will.

    An `Origin` that is there is ours, the door has seen to that.

    Raises:
        NotAllowed: nothing says that a page of ours sends it.
    """
    if b"origin" not in headers and headers.get(b"sec-fetch-site") != b"same-origin":
        raise NotAllowed("with a session, only a page of this server may send this")
