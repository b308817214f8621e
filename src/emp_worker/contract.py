"""The contract of a job type: what is checked of every plugin before others meet it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from emp_core.jobs import Completed
from emp_worker.jobtypes import JobType
from emp_worker.testing import JobRun, run_job_async

LOOP_BOUND: Final = 1.0
"""Seconds that an async handler may keep its worker's loop from everything else."""
CANCEL_BOUND: Final = 5.0
"""Seconds within which a handler should end that was called off."""
_CANCEL_AFTER: Final = 0.05
_TICK: Final = 0.01


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found at one job type, and what to do if it failed."""

    job_type: str
    check: str
    verdict: Verdict
    message: str = ""


def check_job_type(job_type: JobType, *, run: bool = False) -> list[Finding]:
    """Check a job type against the contract; with `run`, perform its handler on the examples, the first one twice."""
    checks = {"schema": _schema_faults, "descriptions": _description_faults, "examples": _example_faults}
    if run:
        checks |= {"run": _run_faults, "cancel": _cancel_faults}
    findings: list[Finding] = []
    for name, check in checks.items():
        faults = [Finding(job_type.name, name, Verdict.FAILED, message) for message in check(job_type)]
        findings += faults or [Finding(job_type.name, name, Verdict.OK)]
    if _validator({}) is None:
        why = "JSON Schema was not checked as the server does; pip install 'emp-jobs[server]' for that"
        findings.append(Finding(job_type.name, "schema", Verdict.SKIPPED, why))
    return findings


def _schema_faults(job_type: JobType) -> Iterator[str]:
    """Check that both schemas are valid JSON Schema and come back from JSON as they went in."""
    schemas = {"payload": job_type.payload_schema, "result": job_type.result_schema}
    for which, schema in schemas.items():
        if schema is None:
            continue
        if json.loads(json.dumps(schema)) != schema:
            yield f"the {which} schema changes on its way through JSON; use strings as keys and plain values"
        try:
            _validator(schema)
        except ValueError as error:
            yield f"the {which} schema is not valid JSON Schema: {error}"


def _description_faults(job_type: JobType) -> Iterator[str]:
    """Check that each field of the payload says what it is for: the form and the documentation show it."""
    schema = job_type.payload_schema
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    for owner, each in {job_type.payload.__name__: schema, **definitions}.items():
        for field, described in each.get("properties", {}).items():
            target = definitions.get(str(described.get("$ref", "")).removeprefix("#/$defs/"), {})
            if not (described.get("description") or target.get("description")):
                yield f"{owner}.{field} has no description; give Field(description=...)"


def _example_faults(job_type: JobType) -> Iterator[str]:
    """Check that there are examples, and that both the schema and the model accept them."""
    if not job_type.examples:
        yield "there is no example; give JobType(examples=[...]), which the monitor's form and the documentation show"
    validator = _validator_or_none(job_type)
    for number, example in enumerate(job_type.examples, start=1):
        try:
            job_type.payload.model_validate_json(json.dumps(example))
        except ValidationError as error:
            yield f"example {number} does not fit the payload's model: {_short(error)}"
        if validator is not None and (fault := next(validator.iter_errors(example), None)) is not None:
            yield f"example {number} does not fit the payload's schema: {fault.message}"


def _run_faults(job_type: JobType) -> Iterator[str]:
    """Check that the handler accepts the examples, that its results fit, and that it leaves the loop to others."""
    for number, example in enumerate(job_type.examples, start=1):
        run, lag = asyncio.run(_watched(job_type, json.dumps(example)))
        if not isinstance(run.outcome, Completed):
            yield f"example {number} did not complete: {(run.error or {}).get('message', type(run.outcome).__name__)}"
        if lag > LOOP_BOUND:
            yield f"example {number} blocked the event loop for {lag:.1f} s; await instead, or make it a `def` handler"


def _cancel_faults(job_type: JobType) -> Iterator[str]:
    """Check that the handler ends soon when it is called off; one that is through before has nothing to show."""
    for example in job_type.examples[:1]:
        began = time.monotonic()
        asyncio.run(run_job_async(job_type, json.dumps(example), cancel_after=_CANCEL_AFTER))
        took = time.monotonic() - began
        if took > CANCEL_BOUND:
            remedy = "await" if job_type.is_async else "call job.raise_if_cancelled()"
            yield f"example 1 went on for {took:.1f} s after it was called off; {remedy} between the steps of long work"


async def _watched(job_type: JobType, payload: str) -> tuple[JobRun, float]:
    """Perform an attempt, and measure the longest time that its loop could do nothing else."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            longest = max(longest, time.monotonic() - before - _TICK)

    ticking = asyncio.create_task(tick())
    run = await run_job_async(job_type, payload)
    # A last turn: what blocked until the end has kept the tick from counting it.
    await asyncio.sleep(2 * _TICK)
    ticking.cancel()
    return run, longest


def _validator_or_none(job_type: JobType) -> Any:
    try:
        return _validator(job_type.payload_schema)
    except ValueError:
        return None  # the check of the schema says so


def _validator(schema: Mapping[str, Any]) -> Any:
    """Build the validator that the server would build; None where its library is not installed.

    Raises:
        ValueError: the schema is not valid JSON Schema (draft 2020-12).
    """
    try:
        import jsonschema_rs  # noqa: PLC0415 - the server's dependency, not the worker's
    except ImportError:
        return None
    return jsonschema_rs.Draft202012Validator(dict(schema))


def _short(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
