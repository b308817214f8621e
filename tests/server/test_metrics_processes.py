"""`/metrics` of several server processes on one port: they count as one."""

from __future__ import annotations

import os
import signal
import sys

from support.exposition import Exposition
from support.plain_http import ask
from support.processes import free_port
from support.waiting import wait_until

EMP = [sys.executable, "-m", "emp_core.cli"]
COUNTED = {"route": "/livez", "method": "GET", "status": "2xx"}


def test_whichever_process_is_asked_tells_of_all_and_of_those_that_have_ended(start_process, redis_url, namespace):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    env = {"EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace}
    server = start_process([*EMP, "server", "--port", str(port), "--workers", "2"], env=env)

    def get(path):
        # A connection each, so that the next free process answers.
        return ask(base + path)

    def processes():
        return [pid for pid, line in server.left_running().items() if "spawn_main" in line]

    def counted():
        return Exposition(get("/metrics").text).value("emp_http_requests_total", **COUNTED)

    wait_until(lambda: server.output().count("startup complete") == 2, 30)
    before = [get("/livez") and counted() for _ in range(20)]
    lags = {Exposition(get("/metrics").text).families["emp_event_loop_lag_seconds"].type for _ in range(3)}
    os.kill(processes()[0], signal.SIGKILL)
    wait_until(lambda: server.output().count("startup complete") == 3, 30)
    after = [counted() for _ in range(10)]
    said = Exposition(get("/metrics").text)

    assert before == [float(n) for n in range(1, 21)]
    assert after == [20.0] * 10
    assert lags == {"histogram"}
    assert said.value("emp_http_requests_in_flight") <= 2  # a process tells twice a second what it has
    assert said.samples("emp_http_streams") == {(): 0.0}
    assert said.value("emp_store_up") == 1
    assert not [name for name in said.names() if name.startswith("process_")]
