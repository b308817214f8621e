"""What the README says of settings and fields is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from emp_plugin_http import Answer, Poll, Polled, Request
from emp_plugin_http.settings import PREFIX, HttpSettings

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_every_setting_is_explained():
    assert re.findall(rf"^\| `{PREFIX}(\w+)`", README, re.MULTILINE) == [
        name.upper() for name in HttpSettings.model_fields
    ]


def test_every_field_is_explained():
    fields = {name for model in (Request, Answer, Poll, Polled) for name in model.model_fields}

    assert {name for name in fields if f"`{name}`" not in README} == set()


def test_every_code_is_explained():
    source = "".join(file.read_text("utf-8") for file in (Path(__file__).parent.parent / "src").rglob("*.py"))

    assert {code for code in re.findall(r'code="(\w+)"', source) if f"`{code}`" not in README} == set()
