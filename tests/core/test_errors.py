"""The tree of errors: drawn as it is, and every problem with what its answer needs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator

import pytest

from emp_core import errors
from emp_core.errors import EmpError, InvalidPayload, InvalidRequest, PayloadFault, StateConflict, TooLarge, problems

_LINE = re.compile(r"^(?P<stem>[|` ]*(?:--)? ?)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3})\b)?")


def tree() -> Iterator[type[EmpError]]:
    """Give the classes of the module, each before those under it."""

    def walk(root: type[EmpError]) -> Iterator[type[EmpError]]:
        yield root
        for child in root.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from walk(child)

    return walk(EmpError)


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Read the drawing at the top of the module: each name with its parent and its status."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.split("\n\n")[1].splitlines():
        match = _LINE.match(line)
        assert match is not None, line
        depth = len(match["stem"])
        above = [(at, name) for at, name in above if at < depth]
        found[match["name"]] = (above[-1][1] if above else None, int(match["status"]) if match["status"] else None)
        above.append((depth, match["name"]))
    return found


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    """Whoever adds an error draws it."""
    shown = {name: parent for name, (parent, _) in drawn().items()}

    assert shown == {
        error.__name__: error.__base__.__name__ if error is not EmpError else None  # type: ignore[union-attr]
        for error in tree()
    }


def test_the_drawing_shows_the_statuses() -> None:
    """A class without a number of its own has its parent's."""
    by_name = {error.__name__: error for error in tree()}

    wrong = {name: status for name, (_, status) in drawn().items() if status and by_name[name].status != status}

    assert wrong == {}
    assert {error.__name__ for error in tree() if "status" in vars(error) and error.status} == {
        name for name, (_, status) in drawn().items() if status
    }


@pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)
def test_an_error_has_all_that_its_answer_needs_or_nothing(error: type[EmpError]) -> None:
    """Status, problem name and title come together; the name can stand in a URL."""
    assert bool(error.status) == bool(error.problem) == bool(error.title)
    assert not error.problem or re.fullmatch(r"[a-z][a-z-]*[a-z]", error.problem)
    assert not error.status or 400 <= error.status <= 599


@pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)
def test_an_error_says_what_it_is_about(error: type[EmpError]) -> None:
    """Its docstring is the reference; its text is the detail."""
    assert inspect.getdoc(error)
    assert str(error("what happened")) == error("what happened").detail == "what happened"


def test_problem_names_and_titles_are_each_of_one_class() -> None:
    """The client finds the class by the name."""
    with_problem = [error for error in tree() if error.problem]

    assert problems() == {error.problem: error for error in with_problem}
    assert len(problems()) == len(with_problem) == len({error.title for error in with_problem})


@pytest.mark.parametrize("error", list(tree()), ids=lambda error: error.__name__)
def test_the_members_of_an_answer_are_json(error: type[EmpError]) -> None:
    """Also without anything given but the detail."""
    assert isinstance(json.dumps(error("x").members()), str)


def test_members_carry_what_a_client_needs_to_act() -> None:
    """The place in the body, the state, the limit."""
    assert InvalidRequest("bad", pointer="/a").members() == {"errors": [{"pointer": "/a", "message": "bad"}]}
    assert InvalidPayload("bad", faults=[PayloadFault("/b", "no")]).members() == {
        "errors": [{"pointer": "/b", "message": "no"}]
    }
    assert StateConflict("no", state="completed").members() == {"state": "completed"}
    assert TooLarge("no", limit=5).members() == {"limit": 5}


def test_errors_of_a_passing_state_say_when_to_try_again() -> None:
    """Whatever is answered with 429, 503 or 507 has a Retry-After."""
    passing = [error for error in tree() if error.status in {429, 503, 507}]

    assert passing
    assert all(error("not now").retry_after > 0 for error in passing)  # type: ignore[attr-defined]
