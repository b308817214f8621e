"""The contract of a job type: what is checked of every plugin before others meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from emp_worker.examples import perform_examples
from emp_worker.findings import Finding, Verdict
from emp_worker.jobtypes import JobType


def check_job_type(job_type: JobType, *, run: bool = False) -> list[Finding]:
    """Check a job type against the contract; with `run`, perform its handler on the examples, in this process."""
    checks = {"schema": _schema_faults, "descriptions": _description_faults, "examples": _example_faults}
    findings: list[Finding] = []
    for name, check in checks.items():
        faults = [Finding(job_type.name, name, Verdict.FAILED, message) for message in check(job_type)]
        findings += faults or [Finding(job_type.name, name, Verdict.OK)]
    if _validator({}) is None:
        why = "JSON Schema was not checked as the server does; pip install 'emp-jobs[server]' for that"
        findings.append(Finding(job_type.name, "schema", Verdict.SKIPPED, why))
    if run:
        findings += perform_examples(job_type, example_payloads(job_type))
    return findings


def example_payloads(job_type: JobType) -> dict[str, bytes]:
    """Give the examples as a client sends them, by what findings call them."""
    return {f"example {number}": json.dumps(each).encode() for number, each in enumerate(job_type.examples, start=1)}


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
            yield f"the {which} schema cannot be used by the server: {error}"


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
        if validator is not None and not validator.is_valid(example):
            yield f"example {number} does not fit the payload's schema: {_first_fault(job_type, example)}"


def _validator_or_none(job_type: JobType) -> Any:
    try:
        return _validator(job_type.payload_schema)
    except ValueError:
        return None  # the check of the schema says so


def _validator(schema: Mapping[str, Any]) -> Any:
    """Build the validator that the server would build; None where its library is not installed.

    Raises:
        ValueError: the schema is not valid JSON Schema (draft 2020-12), or may take too long to check.
    """
    try:
        import jsonschema_rs  # noqa: F401, PLC0415 - the server's dependency, not the worker's
    except ImportError:
        return None
    from emp_core.json_schema import check_expanded_size, compiled  # noqa: PLC0415 - needs it

    check_expanded_size(schema)
    return compiled(schema)


def _first_fault(job_type: JobType, example: Any) -> str:
    from emp_core.schema_faults import SchemaFaults  # noqa: PLC0415 - as above

    [(path, message), *_] = SchemaFaults(job_type.payload_schema).find(example, 1)
    return f"{'.'.join(map(str, path))}: {message}" if path else message


def _short(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
