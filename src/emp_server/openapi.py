"""Write the OpenAPI 3.1 document: what the routes say of themselves, and one typed operation per announced job type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from emp_core.errors import EmpError
from emp_server import documents, media
from emp_server.catalog import KnownType
from emp_server.envelope import BatchItem, Envelope, Options
from emp_server.hoisting import COMPONENTS, hoisted
from emp_server.operations import ALWAYS, OPERATIONS, SUBMIT, SUBMIT_TYPED, Content, Operation

_STRUCTS: Final = (
    documents.JobAnswer,
    documents.BatchItemAnswer,
    documents.JobPageAnswer,
    documents.JobTypeAnswer,
    documents.JobTypesAnswer,
    documents.WorkerAnswer,
    documents.WorkersAnswer,
    documents.StatsAnswer,
    documents.HealthAnswer,
    documents.WhoamiAnswer,
    documents.ProblemAnswer,
    Envelope,
    BatchItem,
    Options,
)
_ABOUT: Final = "Jobs of installed types: submit, watch, fetch the result. Errors are problems (RFC 9457)."


def openapi_document(routes: Sequence[BaseRoute], types: Mapping[str, KnownType]) -> dict[str, Any]:
    """Give the document for the routes there are and the job types known now."""
    document = get_openapi(title="EMP", version=version("emp-jobs"), description=_ABOUT, routes=routes)
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template=COMPONENTS + "{name}")
    for path_item in document["paths"].values():
        for operation in path_item.values():
            _describe(operation, OPERATIONS[operation["operationId"]])
    options = _option_parameters(components["Options"])
    document["paths"].setdefault("/v1/jobs", {})["post"] = _submission(SUBMIT, "submit_job", "Submit a job")
    generic = _submission(SUBMIT_TYPED, "submit_typed_job", "Submit a job: the body is its payload")
    name = {"name": "job_type", "in": "path", "required": True, "schema": {"type": "string"}}
    generic["parameters"] += [name, *options]
    document["paths"]["/v1/job-types/{job_type}/jobs"] = {"post": generic}
    for job_type, known in types.items():
        document["paths"][f"/v1/job-types/{job_type}/jobs"] = {"post": _typed(job_type, known, options)}
        components.update(_schemas_of(job_type, known))
    document["components"] = {"schemas": components}
    return document


def _typed(job_type: str, known: KnownType, options: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe the submission of one job type, with its payload's and its result's schema."""
    newest = known.newest
    operation = _submission(SUBMIT_TYPED, f"submit.{job_type}", newest.title or job_type)
    operation["description"] = newest.description
    operation["tags"] = ["job types"]
    operation["parameters"] += options
    body: dict[str, Any] = {"schema": _reference(f"{job_type}.Payload") if newest.payload_schema is not None else {}}
    if newest.examples:
        body["examples"] = {str(at): {"value": example} for at, example in enumerate(newest.examples, 1)}
    operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    if newest.result_schema is not None:
        result = {"anyOf": [_reference(f"{job_type}.Result"), {"type": "null"}]}
        job = {"allOf": [_reference("JobAnswer"), {"properties": {"result": result}}]}
        for status in ("200", "202"):
            operation["responses"][status]["content"]["application/json"]["schema"] = job
    return operation


def _schemas_of(job_type: str, known: KnownType) -> dict[str, Any]:
    """Give a type's components. Names of types are lower case, so that `.Payload` and `.Result` cannot be met twice."""
    newest = known.newest
    payload = {} if newest.payload_schema is None else hoisted(f"{job_type}.Payload", newest.payload_schema)
    result = {} if newest.result_schema is None else hoisted(f"{job_type}.Result", newest.result_schema)
    return {**payload, **result}


def _submission(operation: Operation, operation_id: str, summary: str) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation_id, "summary": summary}
    _describe(described, operation)
    return described


def _describe(described: dict[str, Any], operation: Operation) -> None:
    """Complete what the framework wrote about an operation; its own guess at the answers is replaced."""
    described["responses"] = {
        str(status): {"description": text, **({"content": _content(body)} if body else {})}
        for status, (text, body) in operation.answers.items()
    }
    by_status: dict[int, list[type[EmpError]]] = {}
    error: type[EmpError]
    for error in (*ALWAYS, *operation.problems):
        by_status.setdefault(error.status, []).append(error)
    for status, errors in sorted(by_status.items()):
        described["responses"].setdefault(
            str(status),
            {
                "description": ", or ".join(f"`{error.problem}`: {error.title}" for error in errors),
                "content": {media.PROBLEM: {"schema": _reference("ProblemAnswer")}},
            },
        )
    if operation.body:
        content = {media: inner for body in operation.body for media, inner in _content(body).items()}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.parameters:
        described.setdefault("parameters", []).extend(dict(parameter) for parameter in operation.parameters)


def _content(body: Content) -> dict[str, Any]:
    return {body.media_type: {"schema": _schema(body.schema)}}


def _schema(schema: Any) -> Any:
    """Give a schema with structs in it replaced by references to their components."""
    if isinstance(schema, type):
        return _reference(schema.__name__)
    if isinstance(schema, Mapping):
        return {key: _schema(value) for key, value in schema.items()}
    return {} if schema is None else schema


def _reference(name: str) -> dict[str, str]:
    return {"$ref": COMPONENTS + name}


def _option_parameters(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe the options of a typed submission, which are in its query; `backoff` is a JSON object there."""
    parameters = []
    for name, schema in options["properties"].items():
        where = {"content": {media.JSON: {"schema": schema}}} if name == "backoff" else {"schema": dict(schema)}
        parameters.append({"name": name, "in": "query", **where})
    return parameters
