"""Describe the answers that are problems, for the OpenAPI document: each set of them once, with an example of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from emp_core.errors import EmpError, NotAllowed, Unauthenticated, problems
from emp_server import media
from emp_server.hoisting import COMPONENTS
from emp_server.problems import REQUEST_ID, problem_document

_RESPONSES: Final = "#/components/responses/"
_EXAMPLES: Final = "#/components/examples/"
_SOME_REQUEST: Final = {"path": "/v1/jobs", REQUEST_ID: "15c0d1f2a012b416"}


class ProblemAnswers:
    """Collects the sets of problems that operations share a status for, and names them."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}

    def of(self, errors: Iterable[type[EmpError]]) -> dict[str, Any]:
        """Give an operation's answers, by status, for the problems that it may end in."""
        by_status: dict[int, list[type[EmpError]]] = {}
        for error in dict.fromkeys(errors):
            by_status.setdefault(error.status, []).append(error)
        return {str(status): self._reference(by_status[status]) for status in sorted(by_status)}

    def _reference(self, errors: Sequence[type[EmpError]]) -> dict[str, str]:
        name = "-or-".join(error.problem for error in errors)
        self.responses.setdefault(name, _response(errors))
        return {"$ref": _RESPONSES + name}


def problem_examples() -> dict[str, Any]:
    """Give an example of each problem that is answered over HTTP."""
    return {name: {"value": _example(error)} for name, error in problems().items()}


def _response(errors: Sequence[type[EmpError]]) -> dict[str, Any]:
    examples = {error.problem: {"$ref": _EXAMPLES + error.problem} for error in errors}
    response: dict[str, Any] = {
        "description": ", or ".join(f"`{error.problem}`: {error.title}" for error in errors),
        "content": {media.PROBLEM: {"schema": {"$ref": COMPONENTS + "ProblemAnswer"}, "examples": examples}},
    }
    names = []
    if any(hasattr(error, "retry_after") or error.problem == "rate-limited" for error in errors):
        names.append("Retry-After")
    if any(issubclass(error, (Unauthenticated, NotAllowed)) for error in errors):
        names.append("WWW-Authenticate")
    return {**response, "headers": header_references(names)} if names else response


def header_references(names: Iterable[str]) -> dict[str, Any]:
    """Give the headers of an answer, by references to where each is described."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _example(error: type[EmpError]) -> Mapping[str, Any]:
    says = (error.__doc__ or "").partition("\n")[0]
    return problem_document(error(says), _SOME_REQUEST)
