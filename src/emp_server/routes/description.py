"""Describe the API, to machines and to people."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
from fastapi import Request, Response

from emp_server import media
from emp_server.access import TheCaller
from emp_server.monitor.rendering import page
from emp_server.openapi import openapi_document
from emp_server.parts import TheParts


async def openapi(request: Request, parts: TheParts) -> Response:
    """Give the OpenAPI 3.1 document of this moment."""
    document = openapi_document(request.app.routes, await parts.catalog.types())
    return Response(msgspec.json.encode(document), media_type=media.JSON)


async def docs(request: Request, parts: TheParts, caller: TheCaller) -> Response:
    """Show the OpenAPI document as a page."""
    document = openapi_document(request.app.routes, await parts.catalog.types())
    schemas = {name: json.dumps(schema, indent=2) for name, schema in document["components"]["schemas"].items()}
    return page("docs.html", caller, now=datetime.now(tz=UTC), document=document, schemas=schemas)
