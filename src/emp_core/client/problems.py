"""Turn a problem answer (RFC 9457) back into the error that the server raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2

from emp_core.errors import (
    EmpError,
    InvalidPayload,
    InvalidRequest,
    PayloadFault,
    RateLimited,
    ScopeMissing,
    StateConflict,
    StoreError,
    TooLarge,
    UnknownJobType,
    problems,
)

_PROBLEMS: Final = problems()


def problem_of(response: httpx2.Response) -> EmpError:
    """Give the error that an answer with an error status stands for; its body must have been read."""
    return error_of(response.status_code, _document(response))


def error_of(status: int, problem: Mapping[str, Any]) -> EmpError:
    """Give the error of a problem document; one of an unknown type is an EmpError that names the status."""
    name = str(problem.get("type", "")).replace("#", "/").replace(":", "/").rpartition("/")[2]
    detail = str(problem.get("detail") or problem.get("title") or "")
    error = _PROBLEMS.get(name)
    if error is None:
        return EmpError(f"the server answered {status}: {detail}" if detail else f"the server answered {status}")
    if error in _WITH_MEMBERS:
        return _WITH_MEMBERS[error](detail, problem)
    if issubclass(error, StoreError):
        return error(detail, may_have_run=problem.get("outcome") != "not_done")
    return error(detail)


_Build = Callable[[str, Mapping[str, Any]], EmpError]

_WITH_MEMBERS: Final[Mapping[type[EmpError], _Build]] = {
    InvalidRequest: lambda detail, problem: InvalidRequest(
        detail, pointer=next((fault.pointer for fault in _faults(problem)), None)
    ),
    InvalidPayload: lambda detail, problem: InvalidPayload(detail, faults=_faults(problem)),
    UnknownJobType: lambda detail, problem: UnknownJobType(detail, near=[str(n) for n in _list(problem, "near")]),
    StateConflict: lambda detail, problem: StateConflict(detail, state=str(problem.get("state", ""))),
    ScopeMissing: lambda detail, problem: ScopeMissing(detail, scope=str(problem.get("scope", ""))),
    TooLarge: lambda detail, problem: TooLarge(detail, limit=_number(problem, "limit")),
    RateLimited: lambda detail, problem: RateLimited(detail, limit=_number(problem, "limit")),
}
"""How an error with more than a detail is made of its problem."""


def _document(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _list(problem: Mapping[str, Any], name: str) -> list[Any]:
    value = problem.get(name)
    return value if isinstance(value, list) else []


def _number(problem: Mapping[str, Any], name: str) -> int:
    value = problem.get(name)
    return value if isinstance(value, int) else 0


def _faults(problem: Mapping[str, Any]) -> list[PayloadFault]:
    return [
        PayloadFault(str(fault.get("pointer", "")), str(fault.get("message", "")))
        for fault in _list(problem, "errors")
        if isinstance(fault, dict)
    ]
