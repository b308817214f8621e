"""Whatever stands around a command, it ends with an exit code of the reference and a message, never a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.broken_server import broken_server

EMP = f"{sys.executable} -m emp_core.cli"
LONG = "x" * 100_000
NO_TEXT = "\udcff"
"""What Python makes of an argument that is not UTF-8."""
WEB_PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "simulation.run", ""), 9, "the payload is empty"),
        (("submit", "simulation.run", "@folder"), 2, "Is a directory"),
        (("submit", "simulation.run", "@bytes"), 9, "the payload is not UTF-8 (byte 1)"),
        (("submit", "simulation.run", '{"steps": %s}' % ("1" * 5000)), 9, "more than 4000 digits"),
        (("submit", "simulation.run", '{"steps": 1e999}'), 9, "/steps: is a number out of range"),
        (("submit", "simulation.run", "-p", "steps=@bytes"), 9, "/steps: takes text, and bytes is not UTF-8"),
        (("submit", LONG, "-p", "a=1"), 6, "there is nothing named 'xxx"),
        (("type", NO_TEXT), 6, "there is nothing named"),
        (("type", LONG), 6, "there is nothing named 'xxx"),
        (("job", "show", NO_TEXT), 6, "there is nothing named"),
        (("job", "log", "a\nb"), 6, r"there is no job 'a\nb'"),
        (("jobs", "--limit", "9" * 20), 2, "is not in the range"),
        (("jobs", "--tag", LONG), 2, "tag is not text, or longer than"),
        (("jobs", "--tag", NO_TEXT), 2, "tag is not text, or longer than"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_strange_input_is_one_message_and_an_exit_code(run, tmp_path, arguments, code, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"1\xff")

    ran = run(*arguments)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("redirection", "code"), [("> /dev/full", 1), (">&-", 0), ("2>&-", 0), ("| true", 0), ("| head -1", 0)]
)
def test_output_that_nobody_takes_is_no_crash(emp_url, tmp_path, redirection, code):
    ran = subprocess.run(
        ["sh", "-c", f"{EMP} types --url {emp_url} {redirection}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == code
    assert "Traceback" not in ran.stderr
    assert "Exception" not in ran.stderr


def test_standard_input_that_is_closed_is_an_empty_payload(emp_url, tmp_path):
    command = f"{EMP} submit simulation.run - --url {emp_url} <&-"

    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, ran.stderr) == (9, "Error: the payload is empty; send JSON, {} for instance\n")


@pytest.mark.parametrize(
    "command", ["submit simulation.run {}", "jobs", "types", "type a.b", "workers", "workers drain x", "job show x",
                "job log x", "job result x", "job cancel x", "job revive x"]
)  # fmt: skip
def test_a_server_that_is_another_program_is_told_from_emp(run, command):
    with broken_server([WEB_PAGE]) as server:
        ran = run(*command.split(), "--url", server.url)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "was not answered by an EMP server, but with a web page" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_while_waiting_is_told_in_a_line_of_its_own(emp_url, running, start_process):
    following = start_process([*EMP.split(), "job", "log", "-f", running, "--url", emp_url])
    following.wait_for("attempt 1 of")

    following.send(signal.SIGINT)

    assert following.wait() == 130
    assert f"\nStopped watching. Job {running} goes on" in following.output()
    assert "\\n" not in following.output()


def test_a_health_port_that_is_taken_ends_the_worker_with_2(run, emp_url):
    port = emp_url.rpartition(":")[2]

    ran = run("worker", "--health-port", port, "--redis-url", "redis://127.0.0.1:1/0")

    assert ran.returncode == 2
    assert f"health_port {port} of 127.0.0.1 cannot be used" in ran.stderr
    assert "Traceback" not in ran.stderr
