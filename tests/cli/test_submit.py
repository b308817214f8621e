"""`emp submit` as a person runs it: a real process against a real server and worker."""

from __future__ import annotations

import base64
import io
import json
import re

import pytest
from PIL import Image

from emp_core.ids import new_job_id
from support.broken_server import answer, broken_server

QUICK = '{"steps": 2, "step_seconds": 0}'
LONG = '{"steps": 600, "step_seconds": 0.1}'


def test_submit_prints_the_id_alone(run, client):
    ran = run("submit", "simulation.run", QUICK)

    assert ran.returncode == 0
    assert client.wait(ran.stdout.removesuffix("\n")).state == "completed"


def test_submit_sends_the_payload_byte_for_byte(run, client):
    ran = run("submit", "simulation.run", "-", stdin='{ "steps":1 ,"step_seconds" : 0e0}')

    assert client.payload_bytes(ran.stdout.strip()) == b'{ "steps":1 ,"step_seconds" : 0e0}'


def test_submit_types_parameters_by_the_announced_schema(run, client):
    ran = run("submit", "simulation.run", "-p", "steps=1", "-p", "step_seconds=0", "-p", "seed=null")

    assert json.loads(client.payload_bytes(ran.stdout.strip())) == {"steps": 1, "step_seconds": 0, "seed": None}


def test_submit_takes_a_picture_from_a_file_and_waits_for_its_thumbnail(run, tmp_path):
    Image.new("RGB", (640, 480), "navy").save(tmp_path / "photo.png")

    ran = run("submit", "image.thumbnail", "-p", "image=@photo.png", "-p", "width=128", "--wait", "--json")

    job = json.loads(ran.stdout)
    assert (ran.returncode, job["state"]) == (0, "completed")
    assert Image.open(io.BytesIO(base64.b64decode(job["result"]["image"]))).width == 128


def test_submit_passes_its_options_on(run, client):
    options = [
        "--priority",
        "7",
        "--delay",
        "2h",
        "--expires-in",
        "1d",
        "--max-attempts",
        "5",
        "--tag",
        "a",
        "--tag",
        "b",
    ]

    job = client.get(run("submit", "simulation.run", QUICK, *options).stdout.strip())

    assert (job.state, job.priority, job.max_attempts, job.tags) == ("scheduled", 7, 5, ("a", "b"))
    assert 7199 < (job.scheduled_at - job.created_at).total_seconds() < 7201
    assert 86399 < (job.expires_at - job.scheduled_at).total_seconds() < 86401


def test_submit_at_a_moment_schedules_the_job_for_it(run, client):
    moments = ["--at", "2027-01-31T18:30:00+01:00", "--expires-at", "2027-01-31T18:00:00Z"]

    job = client.get(run("submit", "simulation.run", QUICK, *moments).stdout.strip())

    assert job.scheduled_at.isoformat() == "2027-01-31T17:30:00+00:00"
    assert job.expires_at.isoformat() == "2027-01-31T18:00:00+00:00"


def test_submit_takes_one_expiry_only(run):
    ran = run("submit", "simulation.run", QUICK, "--expires-in", "1h", "--expires-at", "2027-01-31T18:00:00Z")

    assert ran.returncode == 2
    assert "--expires-in and --expires-at exclude each other" in ran.stderr


def test_submit_with_one_key_makes_one_job(run):
    key = new_job_id()

    first, second = (run("submit", "simulation.run", QUICK, "--idempotency-key", key).stdout for _ in range(2))

    assert first == second != ""


def test_submit_and_watch_shows_progress_on_stderr_and_the_job_on_stdout(run):
    ran = run("submit", "simulation.run", '{"steps": 4, "step_seconds": 0.1}', "--watch", "--json")

    assert json.loads(ran.stdout)["state"] == "completed"
    assert re.search(r"in_progress (25|50|75)% step", ran.stderr)
    assert ran.stderr.splitlines()[-1].endswith("completed 100% step 4 of 4")


@pytest.mark.parametrize("how", ["--wait", "--watch"])
def test_a_job_that_fails_ends_the_command_with_3(run, how):
    ran = run("submit", "simulation.run", '{"steps": 1, "fail_attempts": 9}', "--max-attempts", "1", how)

    assert ran.returncode == 3
    assert "state\tfailed" in ran.stdout


@pytest.mark.parametrize("how", ["--wait", "--watch"])
def test_a_payload_that_the_worker_refuses_is_told_by_its_places(run, how):
    """A schema cannot say that the list of commands of the worker must have it; the handler does."""
    ran = run("submit", "script.run", '{"command": "none"}', how)

    assert ran.returncode == 3
    assert "  /command: is not listed" in ran.stdout.splitlines()


def test_a_job_that_is_cancelled_ends_the_command_with_4(run, client):
    job = client.submit("simulation.run", json.loads(QUICK), delay=3600)
    client.cancel(job.id)

    assert run("job", "watch", job.id).returncode == 4


def test_a_job_that_expires_ends_the_command_with_4(run):
    expired = {"id": new_job_id(), "job_type": "text.echo", "state": "failed", "reason": "expired"}
    with broken_server([answer(202, expired), answer(200, expired)]) as server:
        ran = run("submit", "text.echo", "{}", "--wait", EMP_URL=server.url)

    assert ran.returncode == 4


def test_time_that_runs_out_ends_the_command_with_5_and_names_the_job(run, client):
    ran = run("submit", "simulation.run", LONG, "--wait", "300ms")

    job_id = re.search(r"job (\S+) had not ended", ran.stderr)[1]
    assert ran.returncode == 5
    assert client.cancel(job_id).state != "completed"


def test_a_type_without_a_worker_is_said_on_stderr(run):
    job = {"id": new_job_id(), "job_type": "text.echo", "state": "pending", "warnings": ["no_worker"]}
    with broken_server([answer(202, job)]) as server:
        ran = run("submit", "text.echo", "{}", EMP_URL=server.url)

    assert (ran.returncode, ran.stdout) == (0, job["id"] + "\n")
    assert "No worker serves text.echo" in ran.stderr
