"""A problem answer becomes the error that the server raised."""

from __future__ import annotations

import httpx2
import pytest

from emp_core.client.problems import error_of, problem_of
from emp_core.errors import (
    EmpError,
    InvalidPayload,
    InvalidRequest,
    PayloadFault,
    StateConflict,
    StoreUnavailable,
    TooLarge,
    UnknownJobType,
    problems,
)

CARRYING = {
    InvalidRequest: {"pointer": "/priority"},
    InvalidPayload: {"faults": [PayloadFault("/width", "is too small")]},
    UnknownJobType: {"near": ["image.thumbnail"]},
    StateConflict: {"state": "failed"},
    TooLarge: {"limit": 1000},
    StoreUnavailable: {"may_have_run": True},
}


@pytest.mark.parametrize("name", problems())
def test_each_problem_comes_back_as_its_class_with_all_that_it_carries(name):
    kind = problems()[name]
    raised = kind("the detail", **CARRYING.get(kind, {}))

    error = error_of(kind.status, {"type": f"urn:emp:problem:{name}", "detail": raised.detail, **raised.members()})

    assert type(error) is kind
    assert error.detail == "the detail"
    assert error.members().items() >= {key: value for key, value in raised.members().items() if key != "errors"}.items()
    assert getattr(error, "faults", ()) == getattr(raised, "faults", ())
    assert getattr(error, "pointer", None) == getattr(raised, "pointer", None)


def test_an_unknown_problem_is_an_error_that_names_the_status():
    error = error_of(418, {"type": "https://example.com/problems/teapot", "detail": "short and stout"})

    assert type(error) is EmpError
    assert error.detail == "the server answered 418: short and stout"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b"null", b'{"type": 5, "errors": "x", "detail": null}', b"\xff"]
)
def test_an_answer_that_is_no_problem_document_is_an_error_that_names_the_status(body):
    assert "502" in problem_of(httpx2.Response(502, content=body)).detail


def test_members_of_the_wrong_form_are_passed_over():
    error = error_of(422, {"type": "urn:emp:problem:invalid-payload", "detail": "no", "errors": [5, {"pointer": "/a"}]})

    assert isinstance(error, InvalidPayload)
    assert error.faults == (PayloadFault("/a", ""),)
