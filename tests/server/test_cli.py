"""`emp server`: where it listens, what it refuses, how it stops."""

from __future__ import annotations

import os
import resource
import signal
import sys

import httpx2
import pytest
import redis

from emp_core.store.format import NEWEST_FORMAT
from support.plain_http import ask
from support.processes import free_port
from support.waiting import wait_until

EVERYWHERE = "0.0.0.0"  # noqa: S104 - that it is refused is what is tested
EMP = [sys.executable, "-m", "emp_core.cli", "server"]


def url_of(process):
    return process.wait_for(r"http://[0-9.:\[\]]+")[0]


def is_ready(url):
    try:
        return ask(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def is_alive(url):
    try:
        return ask(f"{url}/livez").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
def options(redis_url, namespace):
    return ["--port", "0", "--redis-url", redis_url, "--namespace", namespace]


def test_it_says_where_it_listens_and_stops_at_once_when_told(start_process, options):
    process = start_process([*EMP, *options])
    url = url_of(process)
    wait_until(lambda: is_ready(url))

    process.send(signal.SIGTERM)

    assert process.wait() == 0
    assert process.left_running() == {}


def test_an_open_stream_does_not_hold_up_a_stop(start_process, options):
    process = start_process([*EMP, *options])
    url = url_of(process)
    wait_until(lambda: is_ready(url))
    with httpx2.stream("GET", f"{url}/v1/events", trust_env=False) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"

        process.send(signal.SIGINT)

        assert process.wait(5) == 0


def test_a_server_may_have_as_many_open_files_as_the_system_allows(start_process, options):
    process = start_process(["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", *EMP, *options])
    wait_until(lambda: is_ready(url_of(process)))

    own, most = resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE)

    assert own == most > 256


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.1", "emp.example"])
def test_beyond_loopback_a_server_does_not_start_without_a_key(start_process, options, host):
    process = start_process([*EMP, *options, "--host", host])

    assert process.wait() == 2
    assert "emp keys create" in process.output()
    assert "--insecure" in process.output()


def test_beyond_loopback_a_server_with_a_key_serves_its_holder_and_nobody_else(start_process, options):
    made = start_process([*EMP[:-1], "keys", "create", "tester", "--scope", "read", *options[2:]])
    assert made.wait() == 0
    [key] = [line for line in made.output().splitlines() if line.startswith("emp_")]

    process = start_process([*EMP, *options, "--host", EVERYWHERE])
    url = "http://127.0.0.1:" + url_of(process).rpartition(":")[2]
    wait_until(lambda: is_ready(url))

    assert ask(f"{url}/v1/jobs").status_code == 401
    assert httpx2.get(f"{url}/v1/jobs", headers={"authorization": f"Bearer {key}"}, trust_env=False).status_code == 200
    assert key not in process.output()


def test_beyond_loopback_a_server_whose_store_is_away_starts_and_lets_nobody_in(start_process, namespace):
    away = ["--port", "0", "--redis-url", f"redis://127.0.0.1:{free_port()}", "--namespace", namespace]

    process = start_process([*EMP, *away, "--host", EVERYWHERE])
    url = "http://127.0.0.1:" + url_of(process).rpartition(":")[2]
    wait_until(lambda: is_alive(url))

    assert [ask(f"{url}{path}").status_code for path in ("/v1/jobs", "/v1/whoami", "/metrics")] == [503, 503, 503]
    submitted = httpx2.post(f"{url}/v1/jobs", json={"job_type": "any.thing", "payload": 1}, trust_env=False)
    assert submitted.status_code == 503


def test_it_listens_beyond_loopback_when_it_is_told_that_this_is_meant(start_process, options):
    process = start_process([*EMP, *options, "--host", EVERYWHERE, "--insecure"])
    port = url_of(process).rpartition(":")[2]

    wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    "wrong", [["--redis-url", "http://x"], ["--namespace", "NO SPACES"], ["--port", "99999"], ["--workers", "0"]]
)
def test_a_wrong_setting_is_named_and_ends_it_with_2(start_process, wrong):
    process = start_process([*EMP, *wrong])

    assert process.wait() == 2
    assert wrong[0].strip("-").replace("-", "_") in process.output().replace("-", "_")


def test_a_taken_port_is_an_error_in_one_line(start_process, options):
    first = start_process([*EMP, *options])
    port = url_of(first).rpartition(":")[2]

    second = start_process([*EMP, *options, "--port", port])

    assert second.wait() == 1
    assert "Traceback" not in second.output()
    assert port in second.output()


def test_the_store_s_password_is_in_no_log(start_process, namespace):
    process = start_process([*EMP, "--port", "0"], env={"EMP_REDIS_URL": "redis://user:canary@127.0.0.1:1/0"})
    url = url_of(process)
    assert ask(f"{url}/readyz").status_code == 503
    process.send(signal.SIGTERM)

    assert process.wait() == 0
    assert "canary" not in process.output()


def test_a_password_among_the_arguments_is_rejected(start_process):
    """Every user of the machine would see it in the list of processes."""
    process = start_process([*EMP, "--port", "0", "--redis-url", "redis://user:canary@127.0.0.1:1/0"])

    assert process.wait() == 2
    assert "EMP_REDIS_URL_FILE" in process.output()
    assert "canary" not in process.output()


def test_several_processes_share_the_port_and_stop_together(start_process, options):
    process = start_process([*EMP, *options, "--workers", "2"])
    url = url_of(process)
    wait_until(lambda: is_ready(url))
    assert len(process.left_running()) >= 3

    process.send(signal.SIGTERM)

    assert process.wait() == 0
    wait_until(lambda: process.left_running() == {})


def test_a_process_that_dies_is_started_again(start_process, options):
    process = start_process([*EMP, *options, "--workers", "2"])
    url = url_of(process)
    wait_until(lambda: is_ready(url))
    [victim, *_] = [pid for pid, line in process.left_running().items() if "spawn_main" in line]

    os.kill(victim, signal.SIGKILL)

    process.wait_for("server_process_ended")
    wait_until(lambda: len([line for line in process.left_running().values() if "spawn_main" in line]) == 2)
    assert is_ready(url)


def test_no_process_outlives_a_parent_that_was_killed(start_process, options):
    process = start_process([*EMP, *options, "--workers", "2"])
    url = url_of(process)
    wait_until(lambda: is_ready(url))

    process.send(signal.SIGKILL)
    process.wait()

    wait_until(lambda: process.left_running() == {})


def test_the_server_imports_neither_the_worker_nor_a_plugin(start_process):
    code = (
        "import sys, emp_server.cli, emp_server.processes;"
        "print([name for name in sys.modules if name.startswith(('emp_worker', 'emp_plugin', 'pluggy'))])"
    )
    process = start_process([sys.executable, "-c", code])

    assert process.wait() == 0
    assert process.output().strip() == "[]"


def test_the_command_s_module_imports_only_click(start_process):
    code = "import sys, emp_server.cli; print([n for n in ('fastapi', 'redis', 'pydantic') if n in sys.modules])"
    process = start_process([sys.executable, "-c", code])

    assert process.wait() == 0
    assert process.output().strip() == "[]"


def raise_format(redis_url, namespace):
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{{emp:{namespace}:00}}:format", NEWEST_FORMAT + 1)


def test_a_store_of_a_newer_format_is_refused_at_the_start(start_process, options, redis_url, namespace):
    raise_format(redis_url, namespace)

    process = start_process([*EMP, *options])

    assert process.wait() == 2
    assert "Install the release that the other processes on this store run" in process.output()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_server_ends_when_the_format_of_its_store_rises(start_process, options, redis_url, namespace, processes):
    process = start_process([*EMP, *options, "--workers", processes])
    url = url_of(process)
    wait_until(lambda: is_ready(url))

    raise_format(redis_url, namespace)
    refused = httpx2.post(f"{url}/v1/jobs", json={"job_type": "a.type", "payload": 1}, trust_env=False)

    assert refused.status_code in {404, 503}
    assert process.wait() == 2
    assert "store_format_unsupported" in process.output()
