"""Load profiles: spread times, and bursts of failures."""

from __future__ import annotations

import random
import re
import statistics
from pathlib import Path

import pytest

from emp_plugin_simulation import RUN, Simulation, SimulationResult
from emp_plugin_simulation.load import Latency, drawn, is_in_burst
from emp_worker.testing import Completed, Retry, run_job

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize("latency", Latency)
def test_every_distribution_has_the_mean_that_was_asked_for(latency: Latency):
    chance = random.Random(7)

    times = [drawn(latency, 2.0, 0.5, chance) for _ in range(20_000)]

    assert min(times) >= 0
    assert statistics.fmean(times) == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("latency", [Latency.NORMAL, Latency.LOGNORMAL])
def test_the_spread_is_the_standard_deviation_as_a_part_of_the_mean(latency: Latency):
    chance = random.Random(7)

    times = [drawn(latency, 2.0, 0.25, chance) for _ in range(20_000)]

    assert statistics.stdev(times) == pytest.approx(0.5, rel=0.05)


def test_the_tail_of_a_lognormal_is_long():
    chance = random.Random(7)

    times = sorted(drawn(Latency.LOGNORMAL, 1.0, 2.0, chance) for _ in range(10_000))

    assert times[len(times) // 2] < 0.6
    assert times[-100] > 6


@pytest.mark.parametrize("latency", Latency)
def test_a_mean_of_nothing_is_nothing(latency: Latency):
    assert drawn(latency, 0.0, 10.0, random.Random(7)) == 0


def test_a_burst_is_the_beginning_of_each_period():
    times = [0.0, 9.9, 10.0, 59.9, 60.0, 69.9, 70.0]

    assert [is_in_burst(now, 60, 10) for now in times] == [True, True, False, False, True, True, False]
    assert not is_in_burst(0.0, 0, 0)


def test_attempts_in_a_burst_fail_and_others_come_through():
    always = {"burst_period_seconds": 10, "burst_seconds": 10}

    failing, unlikely, never = [
        run_job(RUN, {"steps": 2, "step_seconds": 0, "seed": 1, **burst})
        for burst in (always, always | {"burst_failure_chance": 0}, {"burst_period_seconds": 10, "burst_seconds": 0})
    ]

    assert isinstance(failing.outcome, Retry)
    assert isinstance(unlikely.outcome, Completed)
    assert isinstance(never.outcome, Completed)


def test_no_step_takes_longer_than_the_cap():
    run = run_job(RUN, {"steps": 5, "step_seconds": 3600, "latency": "exponential", "latency_cap_seconds": 0})

    assert run.result["seconds"] < 1


def test_a_burst_is_no_longer_than_its_period():
    run = run_job(RUN, {"burst_seconds": 2, "burst_period_seconds": 1})

    assert run.error is not None
    assert "at most burst_period_seconds" in run.error["errors"][0]["message"]


def test_every_field_is_explained():
    fields = set(re.findall(r"^\| `(\w+)`", README, re.MULTILINE))

    assert {*Simulation.model_fields, *SimulationResult.model_fields} <= fields
