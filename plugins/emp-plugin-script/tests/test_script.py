"""script.run with real programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import emp_plugin_script
from emp_plugin_script import emp_job_types
from emp_plugin_script.running import LOG_LINES, Tail
from emp_worker import JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.pytest_plugin import StartWorker
from emp_worker.testing import Cancelled, Completed, Failed, JobRun, Retry, run_job
from support.processes import is_alive
from support.waiting import wait_until

pytestmark = pytest.mark.process

Make = Callable[[str], JobType]


def python(code: str, rest: str = "", argv: str = "") -> str:
    """Write a list with one command, `go`, that runs Python code."""
    return f"[commands.go]\nargv = ['{sys.executable}', '-c', '''{code}'''{argv}]\n{rest}"


def go(job_type: JobType, arguments: dict[str, Any] | None = None, **fields: Any) -> JobRun:
    options = {name: fields.pop(name) for name in ("cancel_at", "attempt") if name in fields}
    return run_job(job_type, {"command": "go", "arguments": arguments or {}, **fields}, **options)


def code(run: JobRun) -> Any:
    assert run.error is not None, run.result
    return run.error.get("code")


def test_output_comes_line_by_line_into_the_log_and_the_result(script: Make):
    job_type = script(python("import sys; print('one'); print('two'); print('bad', file=sys.stderr)"))

    run = go(job_type)

    assert isinstance(run.outcome, Completed)
    assert (run.result["exit_code"], run.result["stdout"], run.result["stderr"]) == (0, "one\ntwo\n", "bad\n")
    assert {(line.level, line.message) for line in run.log} == {("info", "one"), ("info", "two"), ("warning", "bad")}


def test_lines_come_while_the_command_runs(script: Make):
    """The command waits for the end of its standard input, so that its first line comes long before its last."""
    job_type = script(python("import time\nprint('EMP_PROGRESS 0.5 half', flush=True)\nwhile True: time.sleep(1)"))

    run = go(job_type, cancel_at=0.5)

    assert isinstance(run.outcome, Cancelled)
    assert [(each.fraction, each.message) for each in run.progress][-1] == (0.5, "half")
    assert run.log == ()


HOSTILE = ["$(touch pwned)", "; touch pwned", "a b", "a\nb", "`id`", "*", "'\"", "{folder}", "%s", "ü\u2028", ""]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_stays_one_argument_whatever_is_in_it(script: Make, value: str):
    rest = "[commands.go.arguments]\nfolder = {}\n"
    job_type = script(python("import os, sys; print(sys.argv[1:], os.listdir())", rest, ", '/srv/{folder}'"))

    run = go(job_type, {"folder": value})

    assert run.result["stdout"] == f"{['/srv/' + value]} []\n"


ARGUMENTS = """
[commands.go.arguments]
name = { pattern = "[a-z]+" }
size = { choices = ["small", "large"], default = "small" }
count = { type = "integer", minimum = 1, maximum = 9, default = 3 }
share = { type = "number", default = 0.5 }
dry = { type = "flag" }
"""
ARGV = ", '{name}', '{size}', '{count}', '{share}', '{dry}--dry-run'"


def test_arguments_have_types_and_defaults(script: Make):
    job_type = script(python("import sys; print(sys.argv[1:])", ARGUMENTS, ARGV))

    runs = [go(job_type, given) for given in ({"name": "a"}, {"name": "b", "count": 9, "share": 1, "dry": True})]

    assert [run.result["stdout"] for run in runs] == [
        "['a', 'small', '3', '0.5']\n",
        "['b', 'small', '9', '1', '--dry-run']\n",
    ]


@pytest.mark.parametrize(
    ("given", "pointer", "told"),
    [
        ({}, "/arguments/name", "is required"),
        ({"name": "A"}, "/arguments/name", "does not match"),
        ({"name": "a\n"}, "/arguments/name", "does not match"),
        ({"name": 7}, "/arguments/name", "is not a text"),
        ({"name": "a", "size": "huge"}, "/arguments/size", "is none of small, large"),
        ({"name": "a", "count": 0}, "/arguments/count", "is less than 1"),
        ({"name": "a", "count": 10}, "/arguments/count", "is more than 9"),
        ({"name": "a", "count": 1.5}, "/arguments/count", "is not a whole number"),
        ({"name": "a", "count": True}, "/arguments/count", "is not a whole number"),
        ({"name": "a", "count": "3"}, "/arguments/count", "is not a whole number"),
        ({"name": "a", "share": "x"}, "/arguments/share", "is not a number"),
        ({"name": "a", "dry": "yes"}, "/arguments/dry", "is not true or false"),
        ({"name": "a", "x/y~z": 1}, "/arguments/x~1y~0z", "is no argument"),
    ],
)
def test_an_argument_that_does_not_fit_is_named_and_nothing_runs(
    script: Make, given: dict[str, Any], pointer: str, told: str
):
    run = go(script(python("print('ran')", ARGUMENTS, ARGV)), given)

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert code(run) == "bad_arguments"
    assert [fault["pointer"] for fault in run.error["errors"]] == [pointer]
    assert told in run.error["errors"][0]["message"]
    assert run.log == ()


@pytest.mark.parametrize("value", ["-rf", "--output=/etc/passwd", "a\0b", "x" * 1025])
def test_a_text_that_could_be_more_than_a_value_is_refused(script: Make, value: str):
    job_type = script(python("print(1)", "[commands.go.arguments]\nname = {}\n", ", '{name}'"))

    assert code(go(job_type, {"name": value})) == "bad_arguments"


def test_a_command_that_is_not_listed_is_refused_by_the_payload(script: Make):
    run = run_job(script(python("print(1)")), {"command": "rm"})

    assert run.error is not None
    assert run.error["errors"] == [{"pointer": "/command", "message": "Value error, is none of go"}]
    assert script(python("print(1)")).payload_schema["properties"]["command"]["enum"] == ["go"]


def test_without_a_list_there_is_no_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EMP_SCRIPT_COMMANDS", raising=False)
    (job_type,) = emp_job_types()

    assert code(go(job_type)) == "no_such_command"


@pytest.mark.parametrize(
    ("end", "expected", "told"),
    [
        ("sys.exit(3)", "exit_code", "go ended with exit code 3: sorry"),
        ("os.kill(os.getpid(), 9)", "killed", "go was killed by SIGKILL: sorry"),
    ],
)
def test_an_end_that_is_no_success_says_the_last_words(script: Make, end: str, expected: str, told: str):
    run = go(script(python(f"import os, sys; print('sorry', file=sys.stderr, flush=True); {end}")))

    assert isinstance(run.outcome, Failed)
    assert run.error is not None
    assert (code(run), run.error["message"]) == (expected, told)


def test_the_operator_says_whether_it_may_run_again(script: Make):
    assert isinstance(go(script(python("raise SystemExit(1)", "retry = true"))).outcome, Retry)


def test_other_exit_codes_may_be_a_success(script: Make):
    run = go(script(python("raise SystemExit(4)", "exit_codes = [0, 4]")))

    assert run.result["exit_code"] == 4


def test_a_program_that_is_not_there_is_told(script: Make):
    run = go(script("[commands.go]\nargv = ['/nowhere/at-all']\n"))

    assert code(run) == "not_started"
    assert run.error is not None
    assert "No such file" in run.error["message"]


def test_standard_input_is_given_where_the_command_takes_it(script: Make):
    job_type = script(python("import sys; print(sys.stdin.read().upper())", "stdin = true"))

    assert go(job_type, stdin="grüße").result["stdout"] == "GRÜSSE\n"
    assert code(go(script(python("pass")), stdin="x")) == "bad_arguments"


def test_a_command_that_does_not_read_its_input_ends_all_the_same(script: Make):
    assert go(script(python("pass", "stdin = true")), stdin="x" * 1_000_000).result["exit_code"] == 0


def test_only_the_end_of_a_long_output_is_kept(script: Make):
    run = go(script(python("import sys; sys.stdout.write('x' * 300_000 + 'end')", "output_limit_bytes = 10")))

    assert (run.result["stdout"], run.result["stdout_bytes"]) == ("xxxxxxxend", 300_003)
    assert max(len(line.message) for line in run.log) <= 16 * 1024 + 3


def test_bytes_that_are_no_text_do_no_harm(script: Make):
    run = go(script(python(r"import sys; sys.stdout.buffer.write(b'\xff\x00\n')")))

    assert run.result["stdout"] == "\ufffd\x00\n"


def test_a_command_has_a_folder_of_its_own_that_is_gone_afterwards(script: Make):
    run = go(
        script(python("import os; open('file', 'w'); print(os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'])"))
    )

    folder, home, temporary = run.result["stdout"].split()
    assert folder == home == temporary
    assert not Path(folder).exists()


def test_a_command_sees_nothing_of_the_workers_environment(script: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_REDIS_URL", "redis://:secret@x")
    monkeypatch.setenv("MINE", "yes")
    code_ = "import os; print(sorted(n for n in os.environ if n.startswith('EMP_') or n in ('MINE', 'OWN')))"

    run = go(script(python(code_, "env = { OWN = 'x' }\npass_env = ['MINE']")))

    assert run.result["stdout"] == "['EMP_JOB_ATTEMPT', 'EMP_JOB_ID', 'EMP_JOB_MAX_ATTEMPTS', 'MINE', 'OWN']\n"


def test_a_time_limit_ends_it(script: Make):
    run = go(script(python("import time; time.sleep(60)", "timeout_seconds = 0.5")))

    assert code(run) == "timeout"


def test_a_memory_limit_ends_it(script: Make):
    run = go(script(python("x = bytearray(300 * 1024 * 1024)", "memory_limit_mib = 128")))

    assert code(run) == "exit_code"
    assert run.error is not None
    assert "MemoryError" in run.error["message"]


FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), child.pid, flush=True)
print("EMP_PROGRESS 0.5", flush=True)
"""


def pids(run: JobRun) -> list[int]:
    return [int(word) for word in run.log[0].message.split()]


def test_calling_it_off_ends_its_whole_group(script: Make):
    run = go(script(python(FAMILY + "time.sleep(60)")), cancel_at=0.5)

    assert isinstance(run.outcome, Cancelled)
    assert len(pids(run)) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids(run)))


CLEANS_UP = """
import os, signal, time

def end(*_):
    os.write(1, b"cleaned up\\n")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
os.write(1, b"EMP_PROGRESS 0.5\\n")
time.sleep(60)
"""


def test_a_command_may_clean_up_when_it_is_called_off(script: Make):
    run = go(script(python(CLEANS_UP)), cancel_at=0.5)

    assert isinstance(run.outcome, Cancelled)
    assert [line.message for line in run.log] == ["cleaned up"]


def test_what_a_command_leaves_running_is_ended(script: Make):
    run = go(script(python(FAMILY)))

    assert isinstance(run.outcome, Completed)
    wait_until(lambda: not any(is_alive(pid) for pid in pids(run)))


def test_a_worker_runs_it(script: Make, emp_stack: StartWorker):
    script(python("print('hello')"))

    job = emp_stack(emp_plugin_script).run("script.run", {"command": "go"})

    assert (job.state, job.result["stdout"]) == ("completed", "hello\n")


def test_the_contract_of_plugins_is_kept(script: Make):
    findings = check_job_type(script(python("print(1)")))

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []


OPTIONS = [
    ("{user}-{kind}", {"user": "", "kind": "la"}, "user = {}\nkind = {}"),
    ("{n}", {"n": -5}, 'n = { type = "integer" }'),
    ("{x}", {"x": -0.5}, 'x = { type = "number" }'),
    ("{a}{b}", {"a": "", "b": "-x"}, "a = {}\nb = { allow_dash = false }"),
]


@pytest.mark.parametrize(("part", "arguments", "declared"), OPTIONS, ids=[each[0] for each in OPTIONS])
def test_values_do_not_make_an_option_together(script: Make, part: str, arguments: dict[str, Any], declared: str):
    """A dash of the template, or a number, is as good as one in a text."""
    job_type = script(python("print('ran')", f"[commands.go.arguments]\n{declared}\n", f", '{part}'"))

    run = go(job_type, arguments)

    assert code(run) == "bad_arguments"
    assert "dash" in run.error["message"]


@pytest.mark.parametrize(
    ("part", "arguments", "declared"),
    [
        ("{n}", {"n": -5}, 'n = { type = "integer", allow_dash = true }'),
        ("-n{n}", {"n": 5}, 'n = { type = "integer" }'),
        ("{deep}--deep", {"deep": True}, 'deep = { type = "flag" }'),
        ("{a}-{b}", {"a": "x", "b": "y"}, "a = {}\nb = {}"),
    ],
)
def test_an_option_of_the_operator_stays_one(script: Make, part: str, arguments: dict[str, Any], declared: str):
    job_type = script(python("print('ran')", f"[commands.go.arguments]\n{declared}\n", f", '{part}'"))

    assert isinstance(go(job_type, arguments).outcome, Completed)


def test_a_command_that_writes_without_end_leaves_the_loop_to_others():
    """When the log is full its lines are not read one by one; what it says of its progress is still heard."""
    heard: list[str] = []

    def on_line(text: str) -> bool:
        heard.append(text)
        return not text.startswith("EMP_PROGRESS")

    tail = Tail(1000, on_line, marker=b"EMP_PROGRESS ")
    for _ in range(100):
        tail.feed(b"y\n" * 30_000)
    tail.feed(b"y\nEMP_PROGRESS 0.1\nEMP_PROGRESS 0.5 half")
    tail.feed(b" way\ny\n")
    tail.end()

    assert heard == ["y"] * LOG_LINES + ["EMP_PROGRESS 0.1", "EMP_PROGRESS 0.5 half way"]
    assert tail.total > 6_000_000
