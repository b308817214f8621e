"""Every error of the tree has its answer, and its place in the reference."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec
import pytest

from emp_core.errors import (
    EmpError,
    InvalidPayload,
    InvalidRequest,
    Overloaded,
    PayloadFault,
    RateLimited,
    ScopeMissing,
    SettingsError,
    StateConflict,
    TooLarge,
    UnknownJobType,
    problems,
)
from emp_server.documents import ProblemAnswer
from emp_server.operations import ALWAYS, OPERATIONS, SUBMIT, SUBMIT_TYPED
from emp_server.problems import problem_answer

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "problems.md"
SCOPE = {"path": "/v1/jobs", "emp.request_id": "r1", "type": "http"}


@pytest.mark.parametrize(
    "error", [error for error in problems().values() if error.status != 405], ids=lambda e: e.problem
)
def test_each_error_is_answered_as_a_problem(error):
    answer = problem_answer(error("what happened"), SCOPE)

    document = msgspec.json.decode(answer.body, type=ProblemAnswer)
    assert answer.status_code == document.status == error.status
    assert answer.media_type == "application/problem+json"
    assert document.type == f"urn:emp:problem:{error.problem}"
    assert (document.title, document.detail) == (error.title, "what happened")
    assert (document.instance, document.request_id) == ("/v1/jobs", "r1")


@pytest.mark.parametrize(
    ("error", "members"),
    [
        (InvalidRequest("x", pointer="/a"), {"errors": [{"pointer": "/a", "message": "x"}]}),
        (InvalidPayload("x", faults=[PayloadFault("/b", "no")]), {"errors": [{"pointer": "/b", "message": "no"}]}),
        (UnknownJobType("x", near=["y"]), {"near": ["y"]}),
        (StateConflict("x", state="failed"), {"state": "failed"}),
        (TooLarge("x", limit=5), {"limit": 5}),
        (RateLimited("x", limit=5), {"limit": 5}),
        (ScopeMissing("x", scope="read"), {"scope": "read"}),
        (Overloaded("x"), {"outcome": "not_done"}),
    ],
)
def test_what_an_error_knows_is_in_its_problem(error, members):
    document = msgspec.json.decode(problem_answer(error, SCOPE).body)

    assert {name: document[name] for name in members} == members


@pytest.mark.parametrize("status", [429, 503, 507])
def test_a_problem_that_passes_says_when_to_come_back(status):
    errors = [error for error in problems().values() if error.status == status]

    assert errors
    assert all(int(problem_answer(error("x"), SCOPE).headers["retry-after"]) > 0 for error in errors)


def test_an_error_that_is_not_the_client_s_affair_is_a_fault_of_the_server_without_its_words():
    answer = problem_answer(SettingsError("password=canary"), SCOPE)

    assert answer.status_code == 500
    assert b"canary" not in answer.body


def test_every_problem_is_in_the_reference_with_its_status_and_title():
    sections = re.findall(r"^## `([a-z-]+)`\n\n(\d{3}), (.+?)\.\n\n(.+?)$", REFERENCE.read_text(), re.MULTILINE)

    documented = {name: (int(status), title) for name, status, title, _ in sections}
    assert documented == {name: (error.status, error.title) for name, error in problems().items()}


def test_every_problem_can_be_met_by_an_operation():
    operations = [*OPERATIONS.values(), SUBMIT, SUBMIT_TYPED]
    met = {*ALWAYS, *(error for operation in operations for error in operation.problems)}

    # Wrong addresses and methods belong to no operation.
    assert set(problems().values()) - met == {problems()["not-found"], problems()["method-not-allowed"]}


def test_every_error_says_what_to_do():
    assert not [
        error for error in problems().values() if not inspect.getdoc(error) or error.__doc__ == EmpError.__doc__
    ]
