"""What ARCHITECTURE.md names exists: the verbs at every layer, the places of one job's path, the loops."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from importlib import resources
from pathlib import Path

import pytest

from emp_core.jobs import TRANSITIONS
from emp_core.store import History, JobStore, Measures, Store, TypeStore, Views, WorkerStore
from support.pages import ROOT, page, rows, section

CLASSES = {each.__name__: each for each in (History, JobStore, Measures, Store, TypeStore, Views, WorkerStore)}
ARCHITECTURE = page("ARCHITECTURE.md")
VERBS = {row["verb"].strip("`"): row for row in rows(section(ARCHITECTURE, "The verbs"))}
PATH = [row["where"] for row in rows(section(ARCHITECTURE, "One job's path"))]
LOOPS = {row["loop"].strip("`"): row["file"].strip("`") for row in rows(section(ARCHITECTURE, "Loops"))}
PLACE = re.compile(r"`((?:src|tests|tools|plugins|docs)/[^`:*]+)(?:: (\w+))?`")


def names_in(file: Path) -> set[str]:
    """Give the names of the classes and functions that a Python file defines."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, kinds)}


def test_the_verbs_are_the_scripts():
    folder = resources.files("emp_core.store").joinpath("lua")
    scripts = {file.name.removesuffix(".lua") for file in folder.iterdir() if file.name.endswith(".lua")}

    assert set(VERBS) == scripts - {"prelude"}


def test_every_move_of_the_state_machine_has_its_verb():
    assert {move.verb for move in TRANSITIONS} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_its_method_and_its_test(verb):
    owner, _, method = VERBS[verb]["method"].strip("`").partition(".")
    tests = ROOT / VERBS[verb]["tests"].strip("`")

    assert inspect.iscoroutinefunction(getattr(CLASSES[owner], method))
    assert re.search(rf"\b{verb}", tests.read_text("utf-8"))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "oldest"])
def test_a_verb_is_the_name_of_the_method_that_calls_its_script(verb):
    assert VERBS[verb]["method"].strip("`").endswith(f".{verb}")


def test_every_place_exists():
    places = PLACE.findall(ARCHITECTURE)

    missing = [place for place, _ in places if not (ROOT / place).exists()]

    assert len(places) > 40
    assert missing == []


@pytest.mark.parametrize("where", PATH)
def test_the_path_of_a_job_names_what_is_there(where):
    for place, name in PLACE.findall(where):
        assert not name or name in names_in(ROOT / place)


def test_the_path_of_a_job_has_no_step_without_a_place():
    assert all(PLACE.search(where) for where in PATH)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_has_the_parts_of_one(name):
    module = LOOPS[name].removeprefix("src/").removesuffix(".py").replace("/", ".")
    loop = getattr(importlib.import_module(module), name)

    assert inspect.iscoroutinefunction(loop.run)
    assert inspect.iscoroutinefunction(loop.step)
    assert not inspect.iscoroutinefunction(loop.stop)
