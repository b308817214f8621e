"""Let a browser in: a page cannot send `Authorization`, so a key that was typed in once opens a session.

For the monitor: `POST /login` calls `log_in` with what was typed, and sets the cookie it gives; `POST /logout` calls
`log_out`. The cookie is an opaque token, HttpOnly and SameSite=Strict; the store holds its digest with the key's id, so
that every server knows it and revoking the key ends it. `gate.py` takes a session for its key's holder on every path,
and refuses unsafe methods with it unless `Origin` or `Sec-Fetch-Site` say that a page of ours sends them.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from emp_core.errors import Unauthenticated
from emp_server.callers import Caller
from emp_server.keyring import SESSION_COOKIE, session_token
from emp_server.parts import Parts


async def log_in(request: Request, response: Response, parts: Parts, text: str) -> Caller:
    """Open a session for the holder of a key, and set its cookie on the response.

    Raises:
        Unauthenticated: the text is no key that counts.
        StoreUnavailable: the store is away.
    """
    caller = await parts.keyring.holder_of(text.strip())
    if caller.key is None:
        raise Unauthenticated("this is not an API key")
    lasts = parts.settings.session_lasts
    response.set_cookie(
        SESSION_COOKIE,
        await parts.store.api_keys.open_session(caller.key.key_id, lasts),
        max_age=int(lasts.total_seconds()),
        httponly=True,
        samesite="strict",
        # Behind a proxy that speaks TLS only the page's origin tells that it does.
        secure=request.headers.get("origin", "").startswith("https://"),
    )
    return caller


async def log_out(request: Request, response: Response, parts: Parts) -> None:
    """End the session of a request, if it has one, and take the cookie away."""
    token = session_token(request.headers.get("cookie", "").encode("latin-1"))
    if token is not None:
        await parts.store.api_keys.close_session(token)
        parts.keyring.forget()
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
