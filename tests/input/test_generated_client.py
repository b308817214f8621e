"""A client that a public generator makes from the OpenAPI document submits a job and reads its result, typed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.plain_http import ask
from support.running import running_stack

BIN = Path(sys.executable).parent
MAY_BE_MISSING = ("application/jsonl", "POST /v1/jobs/batch", "GET /v1/jobs/{job_id}/log")
"""openapi-python-client reads no JSON Lines."""


@pytest.fixture(scope="module")
def url(valkey, tmp_path_factory):
    with running_stack(valkey.url, tmp_path_factory.mktemp("stack") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def generated(url, tmp_path_factory):
    """Generate the client `emp_api`, importable; give what the generator said."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_bytes(ask(f"{url}/openapi.json").content)
    command = [BIN / "openapi-python-client", "generate", "--path", document, "--meta", "none"]
    ran = subprocess.run(
        [*command, "--output-path", folder / "emp_api"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )
    sys.path.insert(0, str(folder))
    yield ran.stdout + ran.stderr
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "emp_api"]:
        del sys.modules[name]


@pytest.fixture
def client(generated, url):
    with importlib.import_module("emp_api").Client(base_url=url, timeout=60) as client:
        yield client


@pytest.mark.slow
def test_the_generator_leaves_out_nothing_but_json_lines(generated):
    warnings = [line for line in generated.splitlines() if line.startswith("WARNING") or "Unable to" in line]

    assert [line for line in warnings if not any(known in line for known in MAY_BE_MISSING)] == []


@pytest.mark.slow
def test_a_generated_client_submits_and_reads_typed(client):
    submit = importlib.import_module("emp_api.api.job_types.submit_simulation_run")
    get_job = importlib.import_module("emp_api.api.jobs.get_job")
    models = importlib.import_module("emp_api.models")

    payload = models.SimulationRunPayload(steps=3, step_seconds=0.0)
    job = submit.sync(client=client, body=payload, wait=30, priority=5)
    again = get_job.sync(job.id, client=client)

    assert isinstance(job, models.SimulationRunJob)
    assert isinstance(job.result, models.SimulationRunResult)
    assert (job.state, job.priority, job.result.steps) == (models.JobState.COMPLETED, 5, 3)
    assert job.finished_at >= job.created_at  # moments, not texts
    assert again.result == job.result.to_dict()


@pytest.mark.slow
def test_a_generated_client_reads_problems_typed(client):
    submit = importlib.import_module("emp_api.api.job_types.submit_simulation_run")
    models = importlib.import_module("emp_api.models")

    problem = submit.sync(client=client, body=models.SimulationRunPayload(steps=0))

    assert isinstance(problem, models.ProblemAnswer)
    assert (problem.status, problem.errors[0].pointer) == (422, "/steps")
