"""Run a job type by hand: a form drawn from its schema, or JSON; what is refused is said beside its field."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

import msgspec
import structlog
from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse

from emp_core.errors import InvalidPayload, InvalidRequest, PayloadFault, RequestError
from emp_core.ids import is_job_id
from emp_server.access import TheCaller
from emp_server.callers import Caller
from emp_server.catalog import KnownType
from emp_server.delivery import make_idempotency
from emp_server.envelope import Options, parse_options, parse_payload
from emp_server.monitor import schema_form
from emp_server.monitor.form_body import Form, first, read_form
from emp_server.monitor.rendering import page
from emp_server.monitor.schema_plan import Node, plan
from emp_server.parts import Parts, TheParts
from emp_server.strict_json import refuse_many_values
from emp_server.submitting import admit, checked_submission, store_one
from emp_server.turns import apart
from emp_server.waiting import known_form, not_found

LIKE_LIMIT: Final = 1024 * 1024
OPTIONS: Final = ("priority", "delay", "max_attempts")

_log = structlog.get_logger()


class RunQuery(BaseModel):
    """The query of the form: a job whose payload it begins with, and whether it is JSON or fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    like: str = Field(default="", max_length=64)
    as_json: bool = Field(default=False, alias="json")


@dataclass(frozen=True, slots=True)
class Draft:
    """A payload that somebody writes: the fields of the form, or its JSON where `node` is None."""

    node: Node | None
    form: Form
    text: str = ""
    note: str = ""


async def show_run(parts: TheParts, caller: TheCaller, job_type: str, asked: Annotated[RunQuery, Query()]) -> Response:
    """Show the form of a type, empty or with the payload of another job."""
    known = await parts.catalog.known(job_type)
    draft = await _like(parts, caller, known, asked) if asked.like else _fresh(known, as_json=asked.as_json)
    return await _form_page(parts, caller, known, draft)


def _fresh(known: KnownType, *, as_json: bool) -> Draft:
    node = None if as_json else _plan(known)
    if node is not None:
        return Draft(node, schema_form.as_form(schema_form.initial(node)))
    examples = known.newest.examples
    return Draft(None, {}, _pretty(msgspec.json.encode(examples[0])) if examples else "{}")


async def _like(parts: Parts, caller: Caller, known: KnownType, asked: RunQuery) -> Draft:
    """Give the payload of a job as a draft; as JSON where the form has no room for all of it."""
    sheet = await parts.store.glances.sheet(known_form(asked.like), payload_bytes=LIKE_LIMIT, result_bytes=1)
    if sheet is None or sheet.payload is None or not caller.may_see(sheet.job):
        raise not_found(asked.like)
    if not sheet.payload.is_whole:
        raise InvalidRequest("this payload is too large to be changed here: fetch it, change it, and submit it anew")
    node = None if asked.as_json else _plan(known)
    if node is not None:
        form = schema_form.form_of(node, sheet.payload.text)
        if form is not None:
            return Draft(node, form)
    note = "" if node is None else "This payload has what the form has no field for, so it is shown as JSON."
    try:
        return Draft(None, {}, _pretty(sheet.payload.text), note)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest("this payload cannot be shown: it is damaged") from error


def _plan(known: KnownType) -> Node | None:
    schema = known.newest.payload_schema
    return None if schema is None else plan(schema)


def _pretty(text: bytes) -> str:
    return msgspec.json.format(text, indent=2).decode("utf-8", "replace")


async def run(request: Request, parts: TheParts, caller: TheCaller, job_type: str) -> Response:
    """Submit what the form says, and go to the job; what is refused is shown in the form."""
    # In a form a byte of JSON may take three.
    form = await read_form(request, 3 * parts.settings.body_limit_bytes)
    known = await parts.catalog.known(job_type)
    draft = _sent(known, form)
    try:
        payload, faults = _payload(draft)
        if faults:
            raise InvalidPayload(faults[0].message, faults=faults)
        await apart(partial(refuse_many_values, limit=parts.settings.body_limit_values), payload)
        payload = await apart(parse_payload, payload)
        options = _options(form)
        key = f"{first(form, 'once')[:64]}-{hashlib.sha256(payload).hexdigest()}"
        digest = hashlib.sha256(job_type.encode() + b"\n" + payload).hexdigest()
        idempotency = make_idempotency(key, caller.idempotency_scope, digest)
        submission = await checked_submission(parts, caller, known, payload, options, idempotency)
    except InvalidPayload as error:
        return await _form_page(parts, caller, known, draft, form, error.faults, status=error.status)
    except RequestError as error:
        return await _form_page(parts, caller, known, draft, form, refusal=error.detail, status=error.status)
    admit(parts, caller)
    with parts.traced.submitting(request.scope) as submitting:
        submitted = await store_one(parts, submission, submitting)
    _log.info("job_submitted_by_hand", job_id=submitted.job_id, job_type=job_type)
    return RedirectResponse(f"/jobs/{submitted.job_id}", 303)


def _sent(known: KnownType, form: Form) -> Draft:
    if "json" in form:
        return Draft(None, {}, first(form, "json"))
    node = _plan(known)
    return Draft(None, {}, "") if node is None else Draft(node, form)


def _payload(draft: Draft) -> tuple[bytes, Sequence[PayloadFault]]:
    if draft.node is None:
        return draft.text.encode(), ()
    return schema_form.read(draft.node, draft.form)


def _options(form: Form) -> Options:
    """Read how the job is to be performed; an empty field is not an option.

    Raises:
        InvalidRequest: one is out of its range.
    """
    given: dict[str, object] = {name: text for name in OPTIONS if (text := first(form, name).strip())}
    tags = [tag for part in first(form, "tags").split(",") if (tag := part.strip())]
    for name, value in given.items():
        try:
            parse_options({name: value})
        except InvalidRequest as error:
            raise InvalidRequest(f"{name}: {error.detail.removeprefix('the query: ')}") from error
    return parse_options({**given, "tags": tags})


async def _form_page(
    parts: Parts,
    caller: Caller,
    known: KnownType,
    draft: Draft,
    sent: Form | None = None,
    faults: Sequence[PayloadFault] = (),
    *,
    refusal: str = "",
    status: int = 200,
) -> Response:
    control, others = None, [f"{fault.pointer or 'the payload'} {fault.message}" for fault in faults]
    if draft.node is not None:
        control, others = schema_form.draw(draft.node, draft.form, faults)
    given = sent or {}
    once = first(given, "once")
    return page(
        "run.html",
        caller,
        status,
        now=await parts.store.history.now(),
        name=known.newest.job_type,
        newest=known.newest,
        is_served=known.workers_online > 0,
        is_paused=known.paused,
        control=control,
        text=draft.text,
        has_fields=_plan(known) is not None,
        note=draft.note,
        refused=([refusal] if refusal else []) + others,
        is_refused=bool(refusal or faults),
        options={name: first(given, name) for name in (*OPTIONS, "tags")},
        once=once if is_job_id(once) or once.isalnum() else secrets.token_hex(12),
    )
