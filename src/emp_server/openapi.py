"""Write the OpenAPI 3.1 document: what the routes say of themselves, and one typed operation per announced job type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from emp_core.api_keys import Scope
from emp_core.errors import NotFound
from emp_server import documents, media
from emp_server.access import SUBMIT as SUBMIT_ACCESS
from emp_server.access import Access
from emp_server.catalog import KnownType
from emp_server.envelope import BatchItem, Envelope, Options
from emp_server.hoisting import COMPONENTS, hoisted
from emp_server.operations import (
    ALWAYS,
    HEADERS,
    LINKS,
    OPERATIONS,
    PATH_PARAMETERS,
    SUBMIT,
    SUBMIT_TYPED,
    Content,
    Operation,
)
from emp_server.problem_answers import ProblemAnswers, header_references, problem_examples

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
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "an API key of `emp keys create`; a requirement names the scope that the key needs",
}
_NULL: Final = {"type": "null"}
_TYPED_PATH: Final = "/v1/job-types/{job_type}/jobs"
_TAGS: Final = {"jobs": "jobs", "job-types": "job types", "workers": "workers"}
"""By the second part of a path; what is elsewhere has the tag `server`."""


class Describer:
    """Writes the document for one set of routes, each with who may use it (by the name of its operation).

    Args:
        routes: what the framework serves.
        access: who may use each operation.
        page_items: jobs in a page that does not say how many, and the most in one.
    """

    def __init__(self, routes: Sequence[BaseRoute], access: Mapping[str, Access], page_items: tuple[int, int]) -> None:
        self._routes = routes
        self._access = access
        self._page_items = page_items

    def document(self, types: Mapping[str, KnownType], *, asks_for_keys: bool) -> dict[str, Any]:
        """Give the document for the job types known now, and for whether an API key is asked for now."""
        return _Writing(self._access, self._page_items, asks_for_keys=asks_for_keys).document(self._routes, types)


class _Writing:
    """One document under way."""

    def __init__(self, access: Mapping[str, Access], page_items: tuple[int, int], *, asks_for_keys: bool) -> None:
        self._access = access
        self._page_items = page_items
        self._asks_for_keys = asks_for_keys
        self._problems = ProblemAnswers()
        _, self._schemas = msgspec.json.schema_components(_STRUCTS, ref_template=COMPONENTS + "{name}")
        self._options = _option_parameters(self._schemas["Options"])

    def document(self, routes: Sequence[BaseRoute], types: Mapping[str, KnownType]) -> dict[str, Any]:
        document = get_openapi(title="EMP", version=version("emp-jobs"), description=_ABOUT, routes=routes)
        paths = document["paths"]
        for path, item in paths.items():
            for described in item.values():
                self._complete(path, described)
        paths.setdefault("/v1/jobs", {})["post"] = self._submission(SUBMIT, "/v1/jobs", "submit_job", "Submit a job")
        generic = self._submission(
            SUBMIT_TYPED, _TYPED_PATH, "submit_typed_job", "Submit a job: the body is its payload"
        )
        generic["parameters"] += [_path_parameter("job_type"), *self._options]
        paths[_TYPED_PATH] = {"post": generic}
        for job_type, known in types.items():
            paths[f"/v1/job-types/{job_type}/jobs"] = {"post": self._typed(job_type, known)}
            self._schemas.update(_schemas_of(job_type, known, self._schemas["JobAnswer"]))
        document["components"] = {
            "schemas": self._schemas,
            "responses": self._problems.responses,
            "examples": problem_examples(),
            "headers": {name: {"description": says, "schema": {"type": "string"}} for name, says in HEADERS.items()},
            "links": LINKS,
            "securitySchemes": {"key": _KEY},
        }
        return document

    def _complete(self, path: str, described: dict[str, Any]) -> None:
        """Complete what the framework wrote about an operation."""
        name = described["operationId"]
        parameters = [self._parameter(parameter) for parameter in described.pop("parameters", [])]
        self._describe(path, described, OPERATIONS[name], self._access[name])
        parameters += described.get("parameters", [])
        if parameters:
            described["parameters"] = parameters

    def _parameter(self, parameter: dict[str, Any]) -> dict[str, Any]:
        if parameter["in"] == "path":
            return _path_parameter(parameter["name"])
        schema = _never_null(parameter["schema"])
        if parameter["name"] == "limit":
            default, most = self._page_items
            schema |= {"maximum": most, "default": default}
        about = {"description": schema.pop("description")} if "description" in schema else {}
        return {"name": parameter["name"], "in": parameter["in"], **about, "schema": schema}

    def _submission(self, operation: Operation, path: str, operation_id: str, summary: str) -> dict[str, Any]:
        described: dict[str, Any] = {"operationId": operation_id, "summary": summary}
        self._describe(path, described, operation, SUBMIT_ACCESS)
        return described

    def _typed(self, job_type: str, known: KnownType) -> dict[str, Any]:
        """Describe the submission of one job type, with its payload's and its result's schema."""
        newest = known.newest
        described = self._submission(SUBMIT_TYPED, _TYPED_PATH, f"submit.{job_type}", newest.title or job_type)
        if newest.description:
            described["description"] = newest.description
        described["parameters"] += self._options
        body: dict[str, Any] = {"schema": {}}
        if newest.payload_schema is not None:
            body["schema"] = _reference(f"{job_type}.Payload")
        if newest.examples:
            body["examples"] = {str(at): {"value": example} for at, example in enumerate(newest.examples, 1)}
        described["requestBody"] = {"required": True, "content": {media.JSON: body}}
        if newest.result_schema is not None:
            for status in ("200", "202"):
                described["responses"][status]["content"][media.JSON]["schema"] = _reference(f"{job_type}.Job")
        return described

    def _describe(self, path: str, described: dict[str, Any], operation: Operation, access: Access) -> None:
        """Say what goes in and what comes out; the framework's own guess at the answers is replaced."""
        described["tags"] = [_TAGS.get((*path.split("/"), "", "")[2], "server")]
        described["responses"] = {
            str(status): _answer(text, body, operation) for status, (text, body) in operation.answers.items()
        }
        not_found = (NotFound,) if "{" in path else ()
        described["responses"] |= self._problems.of((*ALWAYS, *operation.problems, *not_found))
        described["security"] = self._security(access)
        if operation.body:
            content = {media: inner for body in operation.body for media, inner in _content(body).items()}
            described["requestBody"] = {"required": operation.body_required, "content": content}
        if operation.parameters:
            described["parameters"] = [dict(parameter) for parameter in operation.parameters]

    def _security(self, access: Access) -> list[dict[str, list[str]]]:
        """Say which keys an operation takes: one of these, or none at all (`{}`) where none is asked for."""
        if access.open:
            return []
        wanted: list[dict[str, list[str]]] = [{"key": [] if access.scope is None else [access.scope.value]}]
        if access.own or access.or_submit:
            wanted.append({"key": [Scope.SUBMIT.value]})
        return wanted if self._asks_for_keys else [{}, *wanted]


def _schemas_of(job_type: str, known: KnownType, job_answer: Mapping[str, Any]) -> dict[str, Any]:
    """Give a type's components. Names of types are lower case, so that `.Payload` and the like cannot be met twice."""
    newest = known.newest
    payload = {} if newest.payload_schema is None else hoisted(f"{job_type}.Payload", newest.payload_schema)
    if newest.result_schema is None:
        return payload
    # Written out and not as `allOf`: generators of clients would take the result of the job of any type.
    result = {"anyOf": [_reference(f"{job_type}.Result"), _NULL]}
    job = {**job_answer, "title": f"{job_type}.Job", "properties": {**job_answer["properties"], "result": result}}
    return {**payload, **hoisted(f"{job_type}.Result", newest.result_schema), f"{job_type}.Job": job}


def _answer(text: str, body: Content | None, operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": text}
    if body is not None:
        answer["content"] = _content(body)
        if operation.links:
            answer["links"] = {name: {"$ref": f"#/components/links/{name}"} for name in operation.links}
    if operation.headers:
        answer["headers"] = header_references(operation.headers)
    return answer


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


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}


def _never_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the schema of a parameter that can be left out, but not be null: text has no null."""
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "default", "title"}}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    choices = [choice for choice in schema.get("anyOf", ()) if choice != _NULL]
    return {**kept, **choices[0]} if len(choices) == 1 else {**kept, **({"anyOf": choices} if choices else {})}


def _option_parameters(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe the options of a typed submission, which are in its query; `backoff` is a JSON object there."""
    parameters = []
    for name, described in options["properties"].items():
        schema = _never_null(described)
        about = {"description": schema.pop("description")} if "description" in schema else {}
        where = {"content": {media.JSON: {"schema": schema}}} if name == "backoff" else {"schema": schema}
        parameters.append({"name": name, "in": "query", **about, **where})
    return parameters
