"""Secrets that are told nowhere: the store's password, a key, what a payload holds."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx2
import pytest

from support.collector import collecting
from support.processes import free_port, marked
from support.stores import started_store
from support.waiting import wait_until

PASSWORD = "canary-of-the-store"  # noqa: S105 - it is to be looked for
MARKER = "canary-of-a-payload"
EMP = [sys.executable, "-m", "emp_core.cli"]


@pytest.fixture
def told(tmp_path, start_process):
    """Run a server and a worker on a store with a password, do right and wrong things, and give all that was said."""
    texts: dict[str, str] = {}
    with (
        started_store(tmp_path / "store", "--requirepass", PASSWORD, wait=False) as store,
        collecting() as collector,
    ):
        url = f"redis://:{PASSWORD}@127.0.0.1:{store.port}/0"
        env = {"EMP_REDIS_URL": url, "EMP_LOG_LEVEL": "debug", **collector.env}

        def made():
            process = start_process([*EMP, "keys", "create", "tester", "--scope", "admin"], env=env)
            return process.wait() == 0 and process.output()

        output = wait_until(made)
        [key] = [line for line in output.splitlines() if line.startswith("emp_")]
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        server = start_process([*EMP, "server", "--port", str(port)], env=env)
        worker = start_process([*EMP, "worker"], env=env)
        server.wait_for("startup complete", timeout=20)
        with httpx2.Client(base_url=base, trust_env=False, timeout=20) as client:
            client.headers["authorization"] = f"Bearer {key}"
            wait_until(lambda: "simulation.run" in client.get("/v1/job-types").text, 20)
            texts |= _use(client, key)
            for process in (server, worker):
                for pid, line in marked(process.mark).items():
                    texts[f"title {pid}"] = line + (Path("/proc") / str(pid) / "comm").read_text()
            store.kill()
            texts["without a store"] = client.get("/v1/jobs").text + client.get("/").text
        wait_until(lambda: "store" in worker.output())
        texts["log of the server"], texts["log of the worker"] = server.output(), worker.output()
        wait_until(lambda: any(span.name == "process simulation.run" for span in collector.spans))
        texts["spans"] = b"".join(collector.raw).decode("latin-1")
    return key, texts


def _use(client, key):
    """Do what anybody might, and give the answers that are not about one job."""
    said: dict[str, str] = {}
    good = {"steps": 1, "step_seconds": 0}
    job = client.post("/v1/jobs?wait=10", json={"job_type": "simulation.run", "payload": good}).json()
    for at, wrong in enumerate(
        (
            {"job_type": "simulation.run", "payload": {"steps": MARKER}},
            {"job_type": "simulation.run", "payload": {MARKER: 1}},
            {"job_type": "simulation.run", "payload": {"steps": 10**9, "note": MARKER}},
        )
    ):
        said[f"refusal {at}"] = client.post("/v1/jobs", json=wrong).text.replace(f"/{MARKER}", "")
    said["not JSON"] = client.post(
        "/v1/jobs", content=b'{"payload": "' + MARKER.encode(), headers={"content-type": "application/json"}
    ).text
    for shown in (f"Basic {key}", f"Bearer {key}x", key):
        said[f"wrong key {len(said)}"] = client.get("/v1/jobs", headers={"authorization": shown}).text
    said["key in the address"] = client.get("/nope", params={"api_key": key[:20]}).text
    for path in ("/", "/jobs", "/types", "/workers", f"/jobs/{job['id']}", "/v1/jobs", "/v1/workers", "/v1/stats"):
        said[path] = client.get(path).text
    for path in ("/openapi.json", "/docs", "/readyz", "/v1/whoami", "/metrics"):
        said[path] = client.get(path).text
    return said


@pytest.mark.slow
def test_no_log_error_page_metric_span_or_process_title_tells_a_secret(told):
    key, texts = told

    for secret in (PASSWORD, key, key.rpartition("_")[2]):
        assert not [where for where, text in texts.items() if secret in text], secret
    assert not [where for where, text in texts.items() if MARKER in text]
    assert "server_starts" in texts["log of the server"]
    assert "invalid-payload" in texts["spans"]
