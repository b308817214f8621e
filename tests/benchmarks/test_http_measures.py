"""What wrk prints is read, and a load with refused requests counts for nothing."""

from __future__ import annotations

import pytest
from benchmarks.http_measures import read_wrk

SAID = """Running 3s test @ http://127.0.0.1:8321/v1/jobs
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.21ms    1.02ms  30.11ms   91.00%
  Latency Distribution
     50%    4.90ms
     75%    5.30ms
     90%    6.00ms
     99%    {tail}
  18405 requests in 3.00s, 15.00MB read
Requests/sec:   6135.00
Transfer/sec:      5.00MB
"""


def test_rate_tail_and_cost_are_read():
    found = read_wrk(SAID.format(tail="27.70ms"), cpu=1.8405)

    assert found == {"http": 6135.0, "http_p99_ms": 27.7, "http_server_us": pytest.approx(100.0)}


@pytest.mark.parametrize(("tail", "milliseconds"), [("870.00us", 0.87), ("1.50ms", 1.5), ("2.00s", 2000.0)])
def test_a_tail_is_read_in_its_unit(tail, milliseconds):
    assert read_wrk(SAID.format(tail=tail), cpu=0.0)["http_p99_ms"] == pytest.approx(milliseconds)


@pytest.mark.parametrize("trouble", ["  Non-2xx or 3xx responses: 7\n", "  Socket errors: connect 0, read 3\n"])
def test_a_load_with_refused_requests_is_no_measure(trouble):
    with pytest.raises(RuntimeError, match="requests failed"):
        read_wrk(SAID.format(tail="1.00ms") + trouble, cpu=0.0)


def test_what_wrk_never_prints_is_no_measure():
    with pytest.raises(RuntimeError, match="something else"):
        read_wrk("unable to connect", cpu=0.0)
