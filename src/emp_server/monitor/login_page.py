"""The way in and out of the monitor, where keys are asked for: a key that is typed in once opens a session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse

from emp_core.api_keys import Scope
from emp_core.errors import Unauthenticated
from emp_server.audit import log_session
from emp_server.callers import CALLER, STRANGER
from emp_server.keyring import session_token
from emp_server.monitor.form_body import first, read_form
from emp_server.monitor.rendering import page
from emp_server.parts import Parts, TheParts
from emp_server.sessions import log_in, log_out

START: Final = "/"
START_WITHOUT_READ: Final = "/docs"
"""Where a key begins that may not see the overview."""


class LoginQuery(BaseModel):
    """The query of the login page: where its reader wanted to go."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    to: str = Field(default="", max_length=2000)


async def show_login(request: Request, parts: TheParts, asked: Annotated[LoginQuery, Query()]) -> Response:
    """Ask for a key; whoever has a session goes on at once."""
    if await _has_session(request, parts):
        return RedirectResponse(_ours(asked.to) or START, 303)
    return _login_page(parts, asked.to)


async def login(request: Request, parts: TheParts) -> Response:
    """Open a session for a key that was typed in, and go to where its holder wanted to be."""
    form = await read_form(request, parts.settings.small_body_limit_bytes)
    to = first(form, "to")
    answer = RedirectResponse(START, 303)
    try:
        caller = await log_in(request, answer, parts, first(form, "key"))
    except Unauthenticated as error:
        parts.refusals.count(error)
        parts.rejections.log("login_rejected", request.scope, error.detail)
        return _login_page(parts, to, refusal=error.detail, status=error.status)
    log_session("login", request.scope, caller)
    answer.headers["Location"] = _ours(to) or (START if caller.may(Scope.READ) else START_WITHOUT_READ)
    return answer


async def logout(request: Request, parts: TheParts) -> Response:
    """End the session."""
    await read_form(request, parts.settings.small_body_limit_bytes)
    answer = RedirectResponse("/login", 303)
    log_session("logout", request.scope, request.scope[CALLER])
    await log_out(request, answer, parts)
    return answer


async def _has_session(request: Request, parts: Parts) -> bool:
    cookie = request.headers.get("cookie", "").encode("latin-1")
    if session_token(cookie) is None:
        return False
    try:
        return (await parts.keyring.recognise({b"cookie": cookie})).token is not None
    except Unauthenticated:
        return False


def _login_page(parts: Parts, to: str, *, refusal: str = "", status: int = 200) -> Response:
    return page(
        "login.html",
        STRANGER,
        status,
        # The store is not asked for its time: whoever has no key costs it nothing.
        now=datetime.now(tz=UTC),
        to=_ours(to),
        refusal=refusal,
        is_asked=parts.keyring.asks,
    )


def _ours(to: str) -> str:
    """Return an address if it is one of this server; else an empty text.

    A browser takes `//host` and `///host` for another server, of which urlsplit knows only the first.
    """
    try:
        parts = urlsplit(to)
    except ValueError:
        return ""
    is_path = to.startswith("/") and not to.startswith("//") and not (parts.scheme or parts.netloc)
    is_ours = is_path and "\\" not in to and to.isprintable()
    return to if is_ours and to.isascii() and parts.path != "/login" else ""
