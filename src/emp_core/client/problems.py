"""Turn a problem answer (RFC 9457) back into the error that the server raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx2

from emp_core.errors import (
    EmpError,
    InvalidPayload,
    InvalidRequest,
    PayloadFault,
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
    if error is InvalidRequest:
        return InvalidRequest(detail, pointer=next((fault.pointer for fault in _faults(problem)), None))
    if error is InvalidPayload:
        return InvalidPayload(detail, faults=_faults(problem))
    if error is UnknownJobType:
        return UnknownJobType(detail, near=[str(name) for name in _list(problem, "near")])
    if error is StateConflict:
        return StateConflict(detail, state=str(problem.get("state", "")))
    if error is TooLarge:
        limit = problem.get("limit")
        return TooLarge(detail, limit=limit if isinstance(limit, int) else 0)
    if issubclass(error, StoreError):
        return error(detail, may_have_run=problem.get("outcome") != "not_done")
    return error(detail)


def _document(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _list(problem: Mapping[str, Any], name: str) -> list[Any]:
    value = problem.get(name)
    return value if isinstance(value, list) else []


def _faults(problem: Mapping[str, Any]) -> list[PayloadFault]:
    return [
        PayloadFault(str(fault.get("pointer", "")), str(fault.get("message", "")))
        for fault in _list(problem, "errors")
        if isinstance(fault, dict)
    ]
