"""Each promise names the tests that hold it, and they exist."""

from __future__ import annotations

import ast
import re

from support.pages import ROOT, page

PROMISES = page("docs/explanation/promises.md")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def promises() -> list[str]:
    """Give the promises: list items that begin in bold."""
    return re.findall(r"^- \*\*.*?(?=^- \*\*|^#|\Z)", PROMISES, re.MULTILINE | re.DOTALL)


def names_in(path: str) -> set[str]:
    """Give the names of the tests of a file, and '' for the file itself if it has some."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}
    return names | {""} if names else names


def test_every_promise_names_a_test():
    assert len(promises()) > 20
    assert [promise for promise in promises() if not NAMED.search(promise)] == []


def test_the_named_tests_exist():
    missing = [f"{path}::{name}" for path, name in NAMED.findall(PROMISES) if name not in names_in(path)]

    assert missing == []
