"""What a process logs: one JSON object per event, whatever is in the fields."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from emp_core.logs import escaped

LOGS = """
import logging, sys
import structlog
from emp_core import logs
from emp_core.settings import StoreSettings

logs.configure(StoreSettings(log_format="json", log_level=sys.argv[1]))
structlog.get_logger("emp.test").info("it_happened", text="two\\nlines \\x1b[31mred\\u202e")
structlog.get_logger("emp.test").debug("a_detail")
logging.getLogger("some.library").warning("said %s", "something")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("emp.test").exception("it_broke")
"""


def logged(level: str) -> list[dict[str, str]]:
    """Log in a process of its own and read each line back."""
    done = subprocess.run([sys.executable, "-c", LOGS, level], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_event_is_one_line_of_json() -> None:
    """Line breaks, escape sequences and changes of direction cannot forge a line or drive a terminal."""
    happened, said, broke = logged("info")

    assert happened["event"] == "it_happened"
    assert happened["text"] == r"two\nlines \u001b[31mred\u202e"
    assert said["event"] == "said something"
    assert "ZeroDivisionError" in broke["exception"]


def test_the_level_is_what_the_settings_say() -> None:
    """Details are there for who asks for them."""
    assert [line["event"] for line in logged("debug")][:2] == ["it_happened", "a_detail"]
    assert [line["event"] for line in logged("error")] == ["it_broke"]


@pytest.mark.parametrize(
    ("text", "written"), [("plain", "plain"), ("a\tb\r", r"a\tb\r"), ("\x00", r"\u0000"), ("ü✓", "ü✓")]
)
def test_control_characters_are_escaped(text: str, written: str) -> None:
    """What can be printed stays as it is."""
    assert escaped(text) == written
