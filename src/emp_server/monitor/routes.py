"""The monitor's route table, and what its routes have in common: an error is answered with a page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from emp_core.errors import EmpError, InternalError, InvalidRequest
from emp_server.access import ANY_KEY, OPEN, OPERATE, READ, READ_OR_OWN, READ_OR_SUBMIT, SUBMIT, Access, guarded
from emp_server.callers import CALLER, STRANGER
from emp_server.monitor import (
    actions,
    job_list,
    job_page,
    live,
    login_page,
    overview,
    run_page,
    system_page,
    type_pages,
    worker_pages,
)
from emp_server.monitor.rendering import page
from emp_server.problems import REQUEST_ID

Endpoint = Callable[..., Any]

PAGES: Final[tuple[tuple[str, str, Endpoint, Access], ...]] = (
    ("GET", "/", overview.show_overview, READ),
    ("GET", "/jobs", job_list.show_jobs, READ),
    ("GET", "/jobs/{job_id}", job_page.show_job, READ_OR_OWN),
    ("GET", "/types", type_pages.show_types, READ),
    ("GET", "/types/{job_type}", type_pages.show_type, READ),
    ("GET", "/types/{job_type}/run", run_page.show_run, READ_OR_SUBMIT),
    ("POST", "/types/{job_type}/run", run_page.run, SUBMIT),
    ("GET", "/workers", worker_pages.show_workers, READ),
    ("GET", "/workers/{worker_id}", worker_pages.show_worker, READ),
    ("GET", "/system", system_page.show_system, READ),
    ("GET", "/login", login_page.show_login, OPEN),
    ("POST", "/login", login_page.login, OPEN),
    ("POST", "/logout", login_page.logout, ANY_KEY),
    ("POST", "/jobs/actions", actions.act_on_jobs, OPERATE),
    ("POST", "/types/{job_type}/pause", actions.pause_type, OPERATE),
    ("POST", "/types/{job_type}/resume", actions.resume_type, OPERATE),
    ("POST", "/workers/{worker_id}/drain", actions.drain_worker, OPERATE),
    ("GET", "/ui/live", live.changes, READ),
)

PAGE_ROOTS: Final = frozenset(path.split("/", 2)[1] for _, path, *_ in PAGES) - {"ui"}
"""What the paths of pages begin with: what is refused there is told to people."""


class PageRoute(APIRoute):
    """A route whose errors are pages and not problem documents."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the handler that answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except EmpError as error:
                return error_page(request.scope, error)
            except RequestValidationError as error:
                faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
                return error_page(request.scope, InvalidRequest(faults))

        return answer


def error_page(scope: Scope, error: EmpError) -> Response:
    """Say what went wrong, and when a store that is away is asked again."""
    shown = error if error.status else InternalError("the server could not do this; its log says why")
    answer = page(
        "error.html",
        scope.get(CALLER, STRANGER),
        shown.status,
        now=datetime.now(tz=UTC),
        title=shown.title,
        detail=shown.detail,
        problem=shown.problem,
        request_id=scope.get(REQUEST_ID, ""),
    )
    retry_after = getattr(shown, "retry_after", None)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


@cache
def monitor_routes() -> tuple[BaseRoute, ...]:
    """Give the monitor's routes; they are no part of the API and of its description, and know no server."""
    router = APIRouter(route_class=PageRoute, include_in_schema=False, redirect_slashes=False)
    for method, path, endpoint, access in PAGES:
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        router.add_api_route(path, endpoint, methods=methods, response_model=None, dependencies=guarded(access))
    return tuple(router.routes)
