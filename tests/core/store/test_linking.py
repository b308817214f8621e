"""A script is linked with the definitions of the prelude that it uses, and with no others."""

from __future__ import annotations

import re
from importlib import resources

from emp_core.store.scripts import Scripts

PRELUDE = resources.files("emp_core.store").joinpath("lua", "prelude.lua").read_text("utf-8")
DEFINED = re.compile(r"^local (?:function )?(\w[\w, ]*?)(?: =|\()", re.MULTILINE)


def names(text: str) -> list[str]:
    """Return the names that a text defines at its top level, in order."""
    return [name for names in DEFINED.findall(text) for name in re.findall(r"\w+", names)]


def test_a_script_has_no_definition_that_it_does_not_use() -> None:
    """The store would execute it in every call of the script."""
    for script in Scripts():
        text = re.sub(r"--[^\n]*", "", script.text)
        unused = [name for name in set(names(PRELUDE)) & set(names(text)) if len(re.findall(rf"\b{name}\b", text)) < 2]
        # Of several names that one statement defines, some may be unused.
        alone = [name for name in unused if re.search(rf"^local (?:function )?{name}(?: =|\()", text, re.MULTILINE)]
        assert alone == [], script.name


def test_a_script_has_what_it_uses_in_the_order_of_the_prelude() -> None:
    """A definition may use only what stands before it."""
    order = names(PRELUDE)
    for script in Scripts():
        found = [name for name in names(script.text) if name in order]
        assert found == sorted(found, key=order.index), script.name
        assert "local function commit(" in script.text or "commit(" not in re.sub(r"--[^\n]*", "", script.text)


def test_the_least_script_carries_little() -> None:
    """What one script alone needs is in no other."""
    assert "local function finish(" not in Scripts()["ring"].text
    assert "local function finish(" in Scripts()["complete"].text
