"""Describe the API, to machines and to people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

from fastapi import Request, Response

from emp_server import media
from emp_server.access import TheCaller
from emp_server.conditional import is_known
from emp_server.live_document import Described, LiveDocument
from emp_server.monitor.rendering import page
from emp_server.parts import TheParts


async def openapi(request: Request, parts: TheParts) -> Response:
    """Give the OpenAPI 3.1 document of this moment; its `ETag` changes when it does."""
    described = await _described(request, parts)
    headers = {"ETag": described.entity_tag, "Cache-Control": "no-cache"}
    if is_known(request.headers.get("if-none-match", ""), described.entity_tag):
        return Response(status_code=304, headers=headers)
    return Response(described.text, headers=headers, media_type=media.JSON)


async def docs(request: Request, parts: TheParts, caller: TheCaller) -> Response:
    """Show the OpenAPI document as a page."""
    document = (await _described(request, parts)).document
    return page("docs.html", caller, now=datetime.now(tz=UTC), document=document, written=partial(json.dumps, indent=2))


async def _described(request: Request, parts: TheParts) -> Described:
    live: LiveDocument = request.app.state.live_document
    return live.of(await parts.catalog.types(), asks_for_keys=parts.keyring.asks)
