"""Show which job types there are, try payloads against them, and hold them back."""

from __future__ import annotations

import msgspec
import structlog
from fastapi import Request, Response

from emp_server import media
from emp_server.access import TheCaller
from emp_server.answers import job_type_answer
from emp_server.body import JSON_BODY, media_type, read_json_body
from emp_server.documents import JobTypesAnswer
from emp_server.envelope import parse_payload
from emp_server.options import check_size
from emp_server.parts import Parts, TheParts
from emp_server.turns import apart

_log = structlog.get_logger()


async def list_job_types(parts: TheParts) -> Response:
    """List what can be submitted, and how many workers serve it now."""
    types = await parts.catalog.types()
    answer = JobTypesAnswer([job_type_answer(name, known, with_schemas=False) for name, known in types.items()])
    return Response(msgspec.json.encode(answer), media_type=media.JSON)


async def get_job_type(parts: TheParts, job_type: str) -> Response:
    """Show one job type with its schemas and examples."""
    return await _show(parts, job_type)


async def get_schema(parts: TheParts, job_type: str) -> Response:
    """Give the JSON Schema (draft 2020-12) of the type's payload; `{}` where it has none."""
    known = await parts.catalog.known(job_type)
    schema = known.newest.payload_schema or {}
    return Response(msgspec.json.encode(schema), media_type=media.JSON_SCHEMA)


async def validate_payload(request: Request, parts: TheParts, caller: TheCaller, job_type: str) -> Response:
    """Check a payload as a submission would, and store nothing: 204 if it fits. It counts as one against the rate."""
    headers = dict(request.scope["headers"])
    headers_of_rate = parts.rates.charge(caller)
    media_type(headers, JSON_BODY)
    known = await parts.catalog.known(job_type)
    limit = parts.settings.payload_limit_bytes
    body = await read_json_body(headers, request.receive, limit, parts.settings.body_limit_values)
    with parts.crowd.working(request.scope):
        payload = await apart(parse_payload, body)
        check_size(known.newest, payload, limit)
        if known.check is not None:
            await apart(known.check, payload)
    return Response(status_code=204, headers=dict(headers_of_rate))


async def pause_job_type(parts: TheParts, job_type: str) -> Response:
    """Let no waiting job of this type be claimed; running ones go on, and new ones can be submitted."""
    await parts.catalog.known(job_type)
    await parts.store.types.pause(job_type)
    _log.info("job_type_paused", job_type=job_type)
    parts.catalog.forget()
    return await _show(parts, job_type)


async def resume_job_type(parts: TheParts, job_type: str) -> Response:
    """Let the jobs of this type be claimed again."""
    await parts.catalog.known(job_type)
    await parts.store.types.resume(job_type)
    _log.info("job_type_resumed", job_type=job_type)
    parts.catalog.forget()
    return await _show(parts, job_type)


async def _show(parts: Parts, job_type: str) -> Response:
    answer = job_type_answer(job_type, await parts.catalog.known(job_type), with_schemas=True)
    return Response(msgspec.json.encode(answer), media_type=media.JSON)
