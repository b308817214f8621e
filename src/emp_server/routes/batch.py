"""Submit many jobs in one request."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response

from emp_core.errors import EmpError, RequestError
from emp_core.jobs import Submission
from emp_server import media
from emp_server.access import TheCaller
from emp_server.answers import submitted_answer
from emp_server.body import JSON_BODY, LINES_BODY, media_type, read_json_body
from emp_server.callers import Caller
from emp_server.catalog import KnownType
from emp_server.delivery import make_idempotency
from emp_server.envelope import parse_batch_item, split_batch
from emp_server.parts import Parts, TheParts
from emp_server.problems import problem_document
from emp_server.submitting import admit, checked_submission, refusal_of, warnings_for
from emp_server.tracing import Submitting
from emp_server.turns import apart, in_turns

_Checked = tuple[Submission, KnownType]


async def submit_batch(request: Request, parts: TheParts, caller: TheCaller) -> Response:
    """Submit up to 1,000 jobs: a JSON array of submissions, or one per line.

    Each may bring an `idempotency_key`. The answer has one line per item, in order: the stored job, or the problem that
    kept it out; one item's problem never costs another item. If the store fails, all is answered with one problem; the
    items that have a key can be sent again safely.
    """
    headers = dict(request.scope["headers"])
    lines = media_type(headers, JSON_BODY | LINES_BODY) in LINES_BODY
    limits = parts.settings.batch_limit_bytes, parts.settings.body_limit_values
    body = await read_json_body(headers, request.receive, *limits)
    items = split_batch(body, parts.settings.batch_limit_items, lines=lines)
    headers_of_rate = admit(parts, caller, len(items))
    with parts.crowd.working(request.scope), parts.traced.submitting(request.scope) as submitting:
        checked = await in_turns(partial(_check, parts, caller), items)
        answers = await _store(parts, checked, submitting)
    documents = [
        problem_document(answer, request.scope) if isinstance(answer, EmpError) else answer for answer in answers
    ]
    text = b"".join(msgspec.json.encode(document) + b"\n" for document in documents)
    return Response(text, headers=dict(headers_of_rate), media_type=media.JSON_LINES)


async def _check(parts: Parts, caller: Caller, item: bytes) -> _Checked | EmpError:
    """Read one item and check it; its problem is a value here, since the others go on."""
    try:
        envelope = await apart(parse_batch_item, item)
        key = envelope.idempotency_key
        digest = hashlib.sha256(item).hexdigest()
        idempotency = None if key is None else make_idempotency(key, caller.idempotency_scope, digest)
        known = await parts.catalog.known(envelope.job_type)
        return await checked_submission(parts, caller, known, bytes(envelope.payload), envelope, idempotency), known
    except RequestError as error:
        return error


async def _store(parts: Parts, checked: list[_Checked | EmpError], submitting: Submitting) -> list[Any]:
    """Store the items that passed, all in one call, and put the replies into their places."""
    passed = [item[0] for item in checked if not isinstance(item, EmpError)]
    replies = iter(await parts.store.jobs.submit(submitting.carried_by(passed)))
    answers: list[Any] = []
    for item in checked:
        if isinstance(item, EmpError):
            answers.append(item)
            continue
        submission, known = item
        submitted = next(replies)
        refusal = refusal_of(submitted, submission.job_type)
        answers.append(refusal or submitted_answer(submitted, submission.job_type, warnings_for(known)))
    return answers
