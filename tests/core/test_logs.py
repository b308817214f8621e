"""What a process logs: one JSON object per event, whatever is in the fields."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from emp_core.logs import escaped

pytestmark = pytest.mark.process

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


CLOSED = """
import os, sys
import structlog
from emp_core import logs
from emp_core.settings import StoreSettings

logs.configure(StoreSettings(log_format="json"))
os.close(1)
os.close(2)
other = os.open(os.devnull, os.O_WRONLY)
structlog.get_logger("emp.test").info("it_goes_on", other=other)
"""

DEAF = """
import logging, sys
import structlog
from emp_core import logs
from emp_core.settings import StoreSettings

logs.configure(StoreSettings(log_format="json"))
sys.stdin.read()
structlog.get_logger("emp.test").info("nobody_reads")
logging.getLogger("some.library").warning("nor this")
"""


def test_who_closes_standard_error_closes_no_log() -> None:
    """A handler may; the number that becomes free is another file's or a socket's then, and no line may go there."""
    done = subprocess.run([sys.executable, "-c", CLOSED], check=True, capture_output=True, text=True)

    assert json.loads(done.stderr)["event"] == "it_goes_on"
    assert json.loads(done.stderr)["other"] == 1


def test_a_line_that_cannot_be_written_ends_no_process() -> None:
    """Who read the log has gone."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()
    process.stdin.close()

    assert process.wait(20) == 0


@pytest.mark.parametrize("missing", ["2>&-", "1>&- 2>&-"])
def test_without_standard_error_a_process_runs(missing: str) -> None:
    """Started so, it has nowhere to log to, and that is all."""
    script = LOGS.replace("sys.argv[1]", "'info'")

    assert (
        subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {missing}', sys.executable, script], check=False).returncode
        == 0
    )


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
