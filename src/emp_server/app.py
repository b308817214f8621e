"""The HTTP server as a value: all its parts, and the whole route table, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, Route, compile_path
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from emp_core.errors import EmpError
from emp_core.janitor import Janitor
from emp_core.store import Store
from emp_core.tracing import NO_TRACER, Tracer
from emp_server.access import (
    ANY_KEY,
    OPEN,
    OPERATE,
    OPERATE_OR_OWN,
    READ,
    READ_OR_OWN,
    READ_OR_SUBMIT,
    SUBMIT,
    Access,
    guarded,
)
from emp_server.audit import Rejections
from emp_server.catalog import Catalog
from emp_server.crowd import PLACE, Crowd
from emp_server.door import Door
from emp_server.gate import Gate
from emp_server.keyring import KeyRing
from emp_server.lasting import lasting
from emp_server.live_document import LiveDocument
from emp_server.metrics.traffic import Traffic
from emp_server.monitor.routes import monitor_routes
from emp_server.openapi import Describer
from emp_server.parts import Parts
from emp_server.pressure import Pressure
from emp_server.problems import on_emp_error, on_fault, on_http_exception, on_refused_parameters
from emp_server.rates import Rates
from emp_server.refusals import Refusals
from emp_server.routes import batch, description, events, health, job_types, jobs, metrics, stats, whoami, workers
from emp_server.routes.submission import SUBMIT_PATH, SUBMIT_TYPED_PATH, SubmitJob, SubmitTypedJob
from emp_server.settings import ServerSettings
from emp_server.short_way import ShortWay
from emp_server.store_watch import StoreWatch
from emp_server.tracing import Submissions
from emp_server.updates import Updates

Endpoint = Callable[..., Any]

ROUTES: Final[tuple[tuple[str, str, Endpoint, Access], ...]] = (
    ("GET", "/v1/jobs", jobs.list_jobs, READ),
    ("POST", "/v1/jobs/batch", batch.submit_batch, SUBMIT),
    ("GET", "/v1/jobs/{job_id}", jobs.get_job, READ_OR_OWN),
    ("GET", "/v1/jobs/{job_id}/payload", jobs.get_payload, READ_OR_OWN),
    ("GET", "/v1/jobs/{job_id}/result", jobs.get_result, READ_OR_OWN),
    ("GET", "/v1/jobs/{job_id}/log", jobs.get_log, READ_OR_OWN),
    ("GET", "/v1/jobs/{job_id}/events", events.job_events, READ_OR_OWN),
    ("POST", "/v1/jobs/{job_id}/cancel", jobs.cancel_job, OPERATE_OR_OWN),
    ("POST", "/v1/jobs/{job_id}/revive", jobs.revive_job, OPERATE),
    ("GET", "/v1/job-types", job_types.list_job_types, READ_OR_SUBMIT),
    ("GET", "/v1/job-types/{job_type}", job_types.get_job_type, READ_OR_SUBMIT),
    ("GET", "/v1/job-types/{job_type}/schema", job_types.get_schema, READ_OR_SUBMIT),
    ("POST", "/v1/job-types/{job_type}/validate", job_types.validate_payload, READ_OR_SUBMIT),
    ("POST", "/v1/job-types/{job_type}/pause", job_types.pause_job_type, OPERATE),
    ("POST", "/v1/job-types/{job_type}/resume", job_types.resume_job_type, OPERATE),
    ("GET", "/v1/workers", workers.list_workers, READ),
    ("GET", "/v1/workers/{worker_id}", workers.get_worker, READ),
    ("POST", "/v1/workers/{worker_id}/drain", workers.drain_worker, OPERATE),
    ("GET", "/v1/stats", stats.get_stats, READ),
    ("GET", "/v1/whoami", whoami.whoami, ANY_KEY),
    ("GET", "/v1/events", events.all_events, READ),
    ("GET", "/metrics", metrics.metrics, READ),
    ("GET", "/livez", health.livez, OPEN),
    ("GET", "/readyz", health.readyz, OPEN),
    ("GET", "/openapi.json", description.openapi, ANY_KEY),
    ("GET", "/docs", description.docs, ANY_KEY),
)
"""The API's routes, each with who may use it. Beside them stand the two submissions (see `build_app`), plain ASGI, and
`monitor.routes.PAGES`."""


@dataclass(frozen=True, slots=True)
class Application:
    """The server, ready to be served by any ASGI server that speaks the lifespan protocol."""

    entrance: ASGIApp
    parts: Parts
    short_way: ShortWay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life."""
        try:
            await self.entrance(scope, receive, send)
        finally:
            # A submission that was refused before it was worked on still has its place.
            place = scope.get(PLACE)
            if place is not None:
                place.leave()

    def stop(self) -> None:
        """End all waits and streams: an ASGI server that stops waits for open answers to end."""
        self.parts.updates.stop()


def build_app(settings: ServerSettings, store: Store, tracer: Tracer = NO_TRACER) -> Application:
    """Build the server on an open store."""
    catalog = Catalog(store, settings.job_types_fresh_for)
    updates = Updates(store.feed, settings.stream_buffer_updates, catalog.heard)
    traffic = Traffic()
    refusals = Refusals(traffic.refused)
    parts = Parts(
        settings,
        store,
        catalog,
        updates,
        StoreWatch(store),
        KeyRing(store.api_keys, settings),
        refusals,
        Rejections(),
        Crowd(settings, refusals),
        Rates(settings.submissions_per_second, settings.server_workers, refusals),
        Pressure(store, settings, refusals),
        traffic,
        Submissions(tracer),
    )
    submit = SubmitJob(parts)
    framework = _framework(parts, submit)

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        # The submission goes around the framework's routing: it has to be fast.
        is_submission = scope["type"] == "http" and scope["path"] == SUBMIT_PATH and scope["method"] == "POST"
        if is_submission:
            scope["endpoint"] = submit  # as the router says which
            await submit(scope, receive, send)
        else:
            await framework(scope, receive, send)

    gate = Gate(entrance, parts.keyring, parts.crowd, refusals, parts.rejections)
    door = Door(gate, settings, refusals, traffic)
    return Application(door, parts, ShortWay(parts, door))


@asynccontextmanager
async def _watched(parts: Parts) -> AsyncIterator[None]:
    """Keep an eye on the store while the body runs."""
    watching = [
        asyncio.create_task(lasting("store_watch", parts.watch.run)),
        asyncio.create_task(lasting("pressure", parts.pressure.run)),
        asyncio.create_task(lasting("traffic", partial(parts.traffic.run, lambda: parts.crowd.streams))),
    ]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)


@asynccontextmanager
async def _swept(store: Store) -> AsyncIterator[None]:
    """Be a janitor while the body runs: every server and every worker is one."""
    janitor = Janitor(store)
    sweeping = asyncio.create_task(lasting("janitor", janitor.run))
    try:
        yield
    finally:
        janitor.stop()
        await sweeping


def _shadowed() -> set[str]:
    """Give the addresses that have the form of another route's: `/v1/jobs/batch` could be that of a job."""
    forms = [compile_path(path)[0] for _, path, *_ in ROUTES if "{" in path]
    return {path for _, path, *_ in ROUTES if "{" not in path and any(form.fullmatch(path) for form in forms)}


class _WrongMethod:
    """What is behind the methods of a shadowed address: nothing; the route with its form is not asked."""

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)


@cache
def _api_routes() -> tuple[BaseRoute, ...]:
    """Give the API's routes. They know no server: what is slow to build serves all that a process has."""
    router = APIRouter(redirect_slashes=False, generate_unique_id_function=lambda route: route.name)
    shadowed = _shadowed()
    for at, (method, path, endpoint, access) in enumerate(ROUTES):
        guards = guarded(access)
        router.add_api_route(path, endpoint, methods=[method], response_model=None, dependencies=guards)
        if method == "GET":
            # As GET without the body, which the ASGI server leaves out (RFC 9110, section 9.3.2).
            router.add_api_route(
                path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False, dependencies=guards
            )
        if path in shadowed and path not in {later for _, later, *_ in ROUTES[at + 1 :]}:
            router.routes.append(Route(path, _WrongMethod()))
    return tuple(router.routes)


def _framework(parts: Parts, submit: SubmitJob) -> FastAPI:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        async with parts.updates.running(), _watched(parts), _swept(parts.store):
            yield

    app = FastAPI(
        title="EMP",
        lifespan=life,
        openapi_url=None,
        # One switch decides about traces, and it is ours; what goes around the framework would have none of its own.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        redirect_slashes=False,
        exception_handlers={
            EmpError: on_emp_error,
            RequestValidationError: on_refused_parameters,
            HTTPException: on_http_exception,
            Exception: on_fault,
        },
    )
    app.state.parts = parts
    app.router.routes.extend(_api_routes())
    # Known to the router as well, so that a wrong method there is answered with the right ones.
    app.router.routes.append(Route(SUBMIT_PATH, submit, methods=["POST"]))
    app.router.routes.append(Route(SUBMIT_TYPED_PATH, SubmitTypedJob(parts), methods=["POST"]))
    app.router.routes.extend(monitor_routes())
    who_may = {endpoint.__name__: access for _, _, endpoint, access in ROUTES}
    page_items = parts.settings.page_default_items, parts.settings.page_limit_items
    app.state.live_document = LiveDocument(Describer(app.routes, who_may, page_items))
    app.router.routes.append(Mount("/ui", StaticFiles(directory=str(files("emp_server.monitor") / "static"))))
    return app
