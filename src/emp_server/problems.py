"""Turn every error into its answer: a problem document (RFC 9457) with a stable type."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import Scope

from emp_core.errors import (
    EmpError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    RateLimited,
    ScopeMissing,
    Unauthenticated,
)
from emp_server import media
from emp_server.strict_json import shortened

STATIC_METHODS: Final = frozenset({"GET", "HEAD"})
"""What can be done with a file that is served as it is."""
REQUEST_ID: Final = "emp.request_id"
"""The member of an ASGI scope under which the door keeps the request's id."""


def problem_type(error: type[EmpError] | EmpError) -> str:
    """Give the URI that names a kind of problem; it is a name, and never changes."""
    return f"urn:emp:problem:{error.problem}"


def problem_document(error: EmpError, scope: Scope) -> dict[str, Any]:
    """Write an error down as a problem. An error without a status of its own is a fault of the server."""
    shown = error if error.status else InternalError("the server could not do this; its log says why")
    return {
        "type": problem_type(shown),
        "title": shown.title,
        "status": shown.status,
        "detail": shortened(shown.detail),
        "instance": quote(shortened(scope.get("path", ""))),
        "request_id": scope.get(REQUEST_ID, ""),
        **shown.members(),
    }


def problem_answer(error: EmpError, scope: Scope) -> Response:
    """Give the answer to a request that failed with an error."""
    document = problem_document(error, scope)
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, RateLimited):
        headers |= rate_headers(error.limit, 0, error.retry_after)
    challenge = _challenge(error)
    if challenge is not None:
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(allowed_methods(scope))
    return Response(
        msgspec.json.encode(document), status_code=document["status"], headers=headers, media_type=media.PROBLEM
    )


def rate_headers(limit: int, left: int, seconds: int) -> dict[str, str]:
    """Say how much may be submitted a second, and how much of it is left (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {"RateLimit-Policy": f'"submissions";q={limit};w=1', "RateLimit": f'"submissions";r={left};t={seconds}'}


def _challenge(error: EmpError) -> str | None:
    """Say which credentials would help (RFC 6750, section 3)."""
    match error:
        case Unauthenticated():
            return 'Bearer realm="emp"'
        case ScopeMissing(scope=scope):
            return f'Bearer realm="emp", error="insufficient_scope", scope="{scope}"'
        case _:
            return None


def allowed_methods(scope: Scope) -> list[str]:
    """Give the methods that the routes at this address have; a route with just this address hides those with names."""
    routes = [route for route in scope["app"].routes if isinstance(route, (Route, Mount))]
    found = [route for route in routes if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE]
    exact = [route for route in found if route.path == scope["path"]]
    methods = {method for route in exact or found for method in route.methods or ()}
    if any(isinstance(route, Mount) and scope["path"].startswith(f"{route.path}/") for route in routes):
        methods |= STATIC_METHODS
    return sorted(methods)


async def on_emp_error(request: Request, error: Exception) -> Response:
    """Answer an error that a route raised on purpose."""
    assert isinstance(error, EmpError)  # noqa: S101 - registered for this class only
    return problem_answer(error, request.scope)


async def on_refused_parameters(request: Request, error: Exception) -> Response:
    """Answer parameters that FastAPI has refused."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    faults = (f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
    return problem_answer(InvalidRequest(f"the query: {'; '.join(faults)}"), request.scope)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: unknown addresses and wrong methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return problem_answer(NotFound("there is nothing at this address"), request.scope)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return problem_answer(MethodNotAllowed(f"{request.method} is not possible here"), request.scope)
        case HTTPStatus.FORBIDDEN:
            return problem_answer(NotAllowed(str(error.detail)), request.scope)
        case _:
            return problem_answer(InvalidRequest(str(error.detail)), request.scope)


async def on_fault(request: Request, _error: Exception) -> Response:
    """Answer an exception that nobody expected; it goes on to the door, which logs it."""
    return problem_answer(InternalError("an unexpected fault; the server's log has it"), request.scope)
