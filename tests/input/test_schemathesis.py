"""schemathesis asks a server all that its OpenAPI document allows and forbids, links included; a real worker works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from emp_core.api_keys import Scope, new_key
from emp_core.store import open_store
from support.processes import free_port
from support.waiting import wait_until

HERE = Path(__file__).parent
EMP = str(Path(sys.executable).with_name("emp"))
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
SEED = 20261128
SECONDS = 120
"""For all phases; those that make up their requests go on until then."""


@pytest.fixture
async def key(redis_url, namespace):
    """Make an API key that may do everything, so that one is asked for."""
    key, text = new_key("schemathesis", [Scope.ADMIN])
    async with open_store(redis_url, namespace) as store:
        await store.api_keys.add(key)
    return text


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_whole_api_keeps_to_its_document(redis_url, namespace, key, start_process, tmp_path):
    port = free_port()
    store = {"EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace}
    start_process([EMP, "server", "--port", str(port)], env={**store, "EMP_LONGEST_WAIT": "0.1"})
    workers = [start_process([EMP, "worker"], env=store)]
    document = tmp_path / "openapi.json"
    asked = {"authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=asked, trust_env=False) as client:
        wait_until(lambda: has_typed_operations(client, document), 60)
        assert [str(fault) for fault in OpenAPIV31SpecValidator(json.loads(document.read_text())).iter_errors()] == []

        command = [SCHEMATHESIS, "--config-file", str(HERE / "schemathesis.toml"), "run", str(document)]
        options = ["--url", str(client.base_url), "--seed", str(SEED), "--max-time", str(SECONDS), "--no-color"]
        hooks = {"SCHEMATHESIS_HOOKS": str(HERE / "checks_of_problems.py"), "EMP_TEST_API_KEY": key}
        asking = start_process([*command, *options], env=hooks)
        while asking.popen.poll() is None:
            if workers[-1].popen.poll() is not None:  # it was drained, as the document allows
                workers.append(start_process([EMP, "worker"], env=store))
            try:
                asking.popen.wait(1)
            except subprocess.TimeoutExpired:
                continue
        counts = client.get("/v1/stats").json()["counts"]

    assert asking.popen.returncode == 0, asking.output()
    assert f"Seed: {SEED}" in asking.output()
    assert all(f"✅ {phase}" in asking.output() for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"))
    # It has come further than to refusals: jobs were performed, failed and were called off.
    for state in ("completed", "failed", "cancelled"):
        assert sum(of_type.get(state, 0) for of_type in counts.values()) > 0, counts


def has_typed_operations(client, document):
    """Fetch the document; tell whether the worker's types are in it."""
    try:
        answer = client.get("/openapi.json")
    except httpx2.TransportError:
        return False
    document.write_bytes(answer.content)
    return answer.is_success and "/v1/job-types/simulation.run/jobs" in answer.json()["paths"]
