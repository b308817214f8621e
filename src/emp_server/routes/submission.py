"""Submit one job: plain ASGI in front of the framework, since this is the path that has to be fast."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from emp_core.errors import EmpError, InvalidRequest
from emp_server.body import JSON_BODY, media_type, read_json_body
from emp_server.callers import caller_in
from emp_server.delivery import NO_WAIT, Wait, read_idempotency, read_wait
from emp_server.envelope import parse_envelope, parse_options, parse_payload
from emp_server.parts import Parts
from emp_server.problems import problem_answer
from emp_server.strict_json import shortened
from emp_server.submitting import admit, answer_one, checked_submission, store_one
from emp_server.turns import apart

SUBMIT_PATH: Final = "/v1/jobs"
SUBMIT_TYPED_PATH: Final = "/v1/job-types/{job_type}/jobs"


class SubmitJob:
    """`POST /v1/jobs`: the body is the envelope."""

    path: Final = SUBMIT_PATH

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Store a job and answer with it."""
        answer: ASGIApp
        try:
            answer = await self._answer(scope, receive)
        except EmpError as error:
            answer = problem_answer(error, scope)
        await answer(scope, receive, send)

    async def _answer(self, scope: AsgiScope, receive: Receive) -> ASGIApp:
        parts, headers, query = self._parts, dict(scope["headers"]), _query(scope)
        caller = caller_in(scope)
        headers_of_rate = admit(parts, caller)
        media_type(headers, JSON_BODY)
        wait = _take_wait(parts, headers, query)
        if query:
            raise InvalidRequest(f"the query: unknown parameter {shortened(next(iter(query)))!r}")
        limits = parts.settings.body_limit_bytes, parts.settings.body_limit_values
        body = await read_json_body(headers, receive, *limits)
        with parts.crowd.working(scope), parts.traced.submitting(scope) as submitting:
            envelope = await apart(parse_envelope, body)
            idempotency = read_idempotency(headers, caller.idempotency_scope, lambda: hashlib.sha256(body).hexdigest())
            known = await parts.catalog.known(envelope.job_type)
            submitting.about(envelope.job_type)
            submission = await checked_submission(parts, caller, known, bytes(envelope.payload), envelope, idempotency)
            submitted = await store_one(parts, submission, submitting)
        answer = await answer_one(parts, submission, submitted, known, wait, receive)
        answer.add(headers_of_rate)
        return answer


class SubmitTypedJob:
    """`POST /v1/job-types/{job_type}/jobs`: the body is the payload, the options are in the query."""

    path: Final = SUBMIT_TYPED_PATH

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Store a job and answer with it."""
        answer: ASGIApp
        try:
            answer = await self._answer(scope, receive)
        except EmpError as error:
            answer = problem_answer(error, scope)
        await answer(scope, receive, send)

    async def _answer(self, scope: AsgiScope, receive: Receive) -> ASGIApp:
        parts, headers, query = self._parts, dict(scope["headers"]), _query(scope)
        caller = caller_in(scope)
        headers_of_rate = admit(parts, caller)
        media_type(headers, JSON_BODY)
        wait = _take_wait(parts, headers, query)
        known = await parts.catalog.known(scope["path_params"]["job_type"])
        options = parse_options({name: _single(name, values) for name, values in query.items()})
        limits = parts.settings.payload_limit_bytes, parts.settings.body_limit_values
        body = await read_json_body(headers, receive, *limits)
        with parts.crowd.working(scope), parts.traced.submitting(scope) as submitting:
            submitting.about(known.newest.job_type)
            payload = await apart(parse_payload, body)
            digest = partial(_digest, known.newest.job_type, query, body)
            idempotency = read_idempotency(headers, caller.idempotency_scope, digest)
            submission = await checked_submission(parts, caller, known, payload, options, idempotency)
            submitted = await store_one(parts, submission, submitting)
        answer = await answer_one(parts, submission, submitted, known, wait, receive)
        answer.add(headers_of_rate)
        return answer


def _query(scope: AsgiScope) -> dict[str, list[str]]:
    text = scope["query_string"]
    if not text:
        return {}
    try:
        return parse_qs(text.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidRequest("the query is not one of at most 100 parameters in UTF-8") from error


def _take_wait(parts: Parts, headers: Mapping[bytes, bytes], query: dict[str, list[str]]) -> Wait:
    if not query and b"prefer" not in headers:
        return NO_WAIT
    asked = query.pop("wait", None)
    prefer = headers.get(b"prefer", b"").decode("latin-1")
    return read_wait(prefer, None if asked is None else str(_single("wait", asked)), parts.settings.longest_wait)


def _single(name: str, values: list[str]) -> str | list[str]:
    """Give a parameter's value; only tags may come several times."""
    if name == "tags":
        return values
    if len(values) > 1:
        raise InvalidRequest(f"the query: {shortened(name)!r} comes twice")
    return values[0]


def _digest(job_type: str, query: Mapping[str, list[str]], body: bytes) -> str:
    """Digest what a typed submission asks for; how its answer is delivered does not belong to it."""
    request = repr((job_type, sorted(query.items()))).encode() + b"\0" + body
    return hashlib.sha256(request).hexdigest()
