"""The client commands as a person runs them: real processes against a real server and worker."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emp_core.cli.jobs import RUNNING
from emp_core.client import EmpClient
from emp_core.ids import new_job_id, new_worker_id
from emp_core.jobs import JobState
from support.broken_server import answer, broken_server
from support.processes import free_port

EMP = [sys.executable, "-m", "emp_core.cli"]
NOBODY = "01hzzzzzzzzzzzzzzzzzzzzz00"
QUICK = '{"steps": 2, "step_seconds": 0}'
LONG = '{"steps": 600, "step_seconds": 0.1}'


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit",), 2, "Missing argument 'TYPE'"),
        (("submit", "simulation.run", "-p", "steps"), 2, "key=value"),
        (("submit", "simulation.run", "@missing.json"), 2, "No such file"),
        (("submit", "simulation.run", "{}", "--priority", "5000"), 2, "/priority"),
        (("submit", "simulation.run", "{}", "--delay", "soon"), 2, "is not a duration"),
        (("submit", "simulation.run", "{}", "--delay", "1", "--at", "2027-01-01"), 2, "exclude each other"),
        (("submit", "simulation.run", "{}", "--wait", "1", "--watch"), 2, "exclude each other"),
        (("submit", "simulation.run", "{}", "--idempotency-key", "a b"), 2, "visible ASCII"),
        (("submit", "simulation.run", "{bad"), 9, "not JSON"),
        (("submit", "simulation.run", '{"steps": 0}'), 9, "/steps"),
        (("submit", "simulation.run", "-p", "steps=many"), 9, "/steps: takes integer, not 'many'"),
        (("submit", "simulation.rum"), 6, "simulation.run"),
        (("submit", "simulation.rum", "-p", "a=1"), 6, "simulation.run"),
        (("type", "simulation.rum"), 6, "simulation.run"),
        (("job", "show", NOBODY), 6, "no job"),
        (("job", "watch", NOBODY), 6, "no job"),
        (("workers", "drain", NOBODY), 6, "no worker"),
        (("jobs", "--type", "simulation.run"), 2, "jobs can be listed by"),
        (("jobs", "--state", "lost"), 2, "Invalid value"),
        (("jobs", "--url", "ftp://x"), 2, "must look like http"),
    ],
)
def test_an_error_is_one_message_and_an_exit_code(run, arguments, code, said):
    ran = run(*arguments)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_server_that_nobody_runs_ends_the_command_with_8_and_what_to_do(run):
    url = f"http://127.0.0.1:{free_port()}"

    ran = run("submit", "simulation.run", QUICK, "--url", url)

    assert ran.returncode == 8
    assert url in ran.stderr
    assert "emp dev" in ran.stderr


def test_a_refusal_ends_the_command_with_7(run):
    problem = answer(403, {"type": "urn:emp:problem:not-allowed", "detail": "not from here"})
    with broken_server([problem]) as server:
        ran = run("types", EMP_URL=server.url)

    assert (ran.returncode, ran.stderr) == (7, "Error: not from here\n")


def test_the_key_comes_from_the_environment_and_is_sent(run):
    with broken_server([answer(200, {"job_types": []})]) as server:
        ran = run("types", EMP_URL=server.url, EMP_API_KEY="s3cret")

    assert ran.returncode == 0
    assert server.requests[0].headers["authorization"] == "Bearer s3cret"


def test_the_url_may_stand_in_emp_toml(emp_command, tmp_path, emp_url):
    (tmp_path / "emp.toml").write_text(f'url = "{emp_url}"\n')
    environment = {name: value for name, value in os.environ.items() if name != "EMP_URL"}

    ran = emp_command.run("types", cwd=tmp_path, env=environment)

    assert "simulation.run\t" in ran.stdout


def test_a_key_of_the_environment_is_not_sent_to_a_server_of_emp_toml(emp_command, tmp_path):
    """The file may have come with a download; a server that the user has named gets the key."""
    with broken_server([answer(200, {"job_types": []})]) as server:
        (tmp_path / "emp.toml").write_text(f'url = "{server.url}"\n')
        environment = {name: value for name, value in os.environ.items() if name != "EMP_URL"} | {"EMP_API_KEY": "s3c"}

        refused = emp_command.run("types", cwd=tmp_path, env=environment)
        asked = len(server.requests)
        named = emp_command.run("types", "--url", server.url, cwd=tmp_path, env=environment)

    assert (refused.returncode, asked) == (2, 0)
    assert "--url or EMP_URL" in refused.stderr
    assert (named.returncode, server.requests[0].headers["authorization"]) == (0, "Bearer s3c")


def test_a_key_of_emp_toml_is_sent_to_its_server(emp_command, tmp_path):
    with broken_server([answer(200, {"job_types": []})]) as server:
        (tmp_path / "emp.toml").write_text(f'url = "{server.url}"\napi_key = "s3c"\n')
        environment = {name: value for name, value in os.environ.items() if name != "EMP_URL"}

        ran = emp_command.run("types", cwd=tmp_path, env=environment)

    assert (ran.returncode, server.requests[0].headers["authorization"]) == (0, "Bearer s3c")


def test_jobs_lists_a_line_for_each_job_up_to_the_limit(run, client):
    tag = new_job_id()
    ids = {client.submit("simulation.run", json.loads(QUICK), delay=3600, tags=[tag]).id for _ in range(3)}

    lines = run("jobs", "--tag", tag).stdout.splitlines()

    assert {line.split("\t")[0] for line in lines} == ids
    assert {tuple(line.split("\t")[1:3]) for line in lines} == {("simulation.run", "scheduled")}
    assert len(run("jobs", "--tag", tag, "--limit", "2").stdout.splitlines()) == 2
    assert {job["id"] for job in json.loads(run("jobs", "--tag", tag, "--json").stdout)} == ids


def test_jobs_without_a_filter_begins_with_what_runs(run, running):
    lines = run("jobs").stdout.splitlines()

    assert running in {line.split("\t")[0] for line in lines if line.split("\t")[2] == "in_progress"}
    assert lines[0].split("\t")[2] in {"claimed", "in_progress"}


@pytest.mark.parametrize("state", [RUNNING, *JobState])
def test_jobs_of_every_state_can_be_listed(run, running, state):
    lines = run("jobs", "--state", str(state)).stdout.splitlines()

    assert {line.split("\t")[2] for line in lines} <= ({"claimed", "in_progress"} if state == RUNNING else {str(state)})


def test_job_show_prints_the_job(run, client):
    job = client.submit("simulation.run", json.loads(QUICK), wait=20)

    assert f"id\t{job.id}\n" in run("job", "show", job.id).stdout
    assert json.loads(run("job", "show", job.id, "--json").stdout)["result"] == job.result


@pytest.fixture
def failed(client: EmpClient) -> str:
    """Give the id of a job that failed in its first and only attempt."""
    return client.submit("simulation.run", {"steps": 1, "fail_attempts": 9}, max_attempts=1, wait=20).id


def test_a_failed_job_is_printed_with_its_reason_and_its_message_in_a_line(run):
    ran = run("submit", "simulation.run", "-p", "fail_attempts=9", "-p", "steps=1", "--max-attempts", "1", "--wait")

    lines = dict(line.split("\t") for line in ran.stdout.splitlines())
    assert lines["reason"] == "error"
    assert lines["error"].startswith("JobError: ")
    assert "Traceback" not in ran.stdout


def test_job_show_of_a_failed_job_prints_its_attempts_and_its_traceback_readably(run, failed):
    shown = run("job", "show", failed).stdout

    assert re.search(r"^attempt 1\t\S+Z, failed, error, JobError: ", shown, re.MULTILINE)
    assert re.search(r"^traceback:\nTraceback \(most recent call last\):\n  File ", shown, re.MULTILINE)


@pytest.mark.parametrize("before", [True, False])
def test_the_url_and_json_may_stand_before_the_command_or_behind_it(run, emp_url, before):
    common = ("--url", emp_url, "--json")

    ran = run(*common, "types", EMP_URL="") if before else run("types", *common, EMP_URL="")

    assert "simulation.run" in [each["job_type"] for each in json.loads(ran.stdout)]


def test_the_url_may_stand_before_a_command_of_a_command(run, emp_url, running):
    ran = run("--json", "--url", emp_url, "job", "show", running, EMP_URL="")

    assert json.loads(ran.stdout)["id"] == running


def test_a_variable_that_is_no_setting_is_warned_of(run):
    ran = run("types", EMP_ULR="http://x")

    assert ran.returncode == 0
    assert "EMP_ULR is no setting of EMP and is ignored; is EMP_URL meant?" in ran.stderr


def test_job_result_prints_the_stored_bytes(run, client, tmp_path):
    job = client.submit("simulation.run", json.loads(QUICK), wait=20)

    printed = run("job", "result", job.id).stdout
    run("job", "result", job.id, "-o", "result.json")

    assert printed.encode() == (tmp_path / "result.json").read_bytes() == client.result_bytes(job.id)


def test_job_result_of_a_running_job_is_an_error(run, running):
    ran = run("job", "result", running)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no result yet" in ran.stderr


def test_job_log_prints_a_line_for_each_log_line(run, client):
    job = client.submit("simulation.run", json.loads(QUICK), wait=20)

    assert len(run("job", "log", job.id).stdout.splitlines()) == len(client.log(job.id)) > 0
    assert json.loads(run("job", "log", job.id, "--json").stdout)[0]["attempt"] == 1


def test_job_log_can_be_followed_to_the_end(run, client):
    job = client.submit("simulation.run", {"steps": 3, "step_seconds": 0.3})

    followed = run("job", "log", "-f", job.id, "--json").stdout.splitlines()

    assert [json.loads(line)["message"] for line in followed] == [line.message for line in client.log(job.id)]


def test_job_cancel_calls_a_job_off_and_says_why(run, client, running):
    ran = run("job", "cancel", running, "--why", "enough")

    assert ran.returncode == 0
    assert client.wait(running, 20).state == "cancelled"
    assert client.get(running).cancel_request["why"] == "enough"


def test_job_revive_lets_a_cancelled_job_run(run, client):
    job = client.submit("simulation.run", json.loads(QUICK), delay=3600)
    run("job", "cancel", job.id)

    assert run("job", "revive", job.id).returncode == 0
    assert client.wait(job.id, 20).state == "completed"


def test_types_lists_what_can_be_submitted(run):
    assert re.search(r"^image\.thumbnail\t.*\temp-plugin-image\t", run("types").stdout, re.MULTILINE)
    assert "simulation.run" in [each["job_type"] for each in json.loads(run("types", "--json").stdout)]


def test_type_shows_the_schema_and_an_example(run):
    shown = run("type", "simulation.run").stdout

    assert '"step_seconds"' in shown
    assert "emp submit simulation.run" in shown
    assert "steps" in json.loads(run("type", "simulation.run", "--json").stdout)["payload_schema"]["properties"]


def test_the_example_of_a_type_can_be_run(run):
    example = run("type", "simulation.run").stdout.splitlines()[-1]

    ran = run(*shlex.split(example)[1:], "--wait")

    assert ran.returncode == 0, ran.stderr


def test_workers_lists_the_workers(run, client):
    [worker] = client.workers()

    assert run("workers").stdout.startswith(f"{worker.id}\t")
    assert [each["id"] for each in json.loads(run("workers", "--json").stdout)] == [worker.id]


def test_workers_drain_asks_the_worker(run):
    worker = new_worker_id()
    with broken_server([answer(202, {})]) as server:
        ran = run("workers", "drain", worker, "--url", server.url)

    assert (ran.returncode, ran.stdout) == (0, "")
    assert server.requests[0].line == f"POST /v1/workers/{worker}/drain HTTP/1.1"


def test_ctrl_c_while_watching_leaves_the_job_running(emp_url, running, start_process, client):
    watching = start_process([*EMP, "job", "watch", running, "--url", emp_url])
    watching.wait_for(r"in_progress")

    watching.send(signal.SIGINT)

    assert watching.wait() == 130
    assert f"Job {running} goes on" in watching.output()
    assert client.get(running).state == "in_progress"


def test_a_terminal_gets_a_table_and_a_progress_bar(emp_url, tmp_path):
    payload = '{"steps": 3, "step_seconds": 0.1}'
    command = [*EMP, "submit", "simulation.run", payload, "--watch", "--url", emp_url]

    said = on_a_terminal(command, tmp_path)

    assert "100%" in said
    assert "━" in said
    assert "TYPE" in on_a_terminal([*EMP, "types", "--url", emp_url], tmp_path)


def on_a_terminal(command: list[str], folder: Path) -> str:
    """Run a command with a terminal of its own, and give what it wrote there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:  # how Linux says that the other side of a terminal is closed
            pass
        assert process.wait(30) == 0
    os.close(ours)
    return said.decode()
