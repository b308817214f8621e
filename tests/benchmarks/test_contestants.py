"""peers.toml pins everybody, and every contestant has its adapter."""

from __future__ import annotations

import json
import re

import pytest
from benchmarks.adapters.payloads import payload
from benchmarks.contestants import ROOT, read_contestants
from benchmarks.session import FULL, QUICK

CONTESTANTS = read_contestants()


@pytest.mark.parametrize("name", sorted(CONTESTANTS))
def test_every_package_has_its_exact_version(name):
    contestant = CONTESTANTS[name]

    assert all(re.fullmatch(r"[\w\[\],-]+==[\w.]+", each) for each in contestant.requires)
    assert all(re.fullmatch(r"[\w-]+@[\d.]+", each) for each in contestant.node)


@pytest.mark.parametrize("name", sorted(CONTESTANTS))
def test_every_contestant_has_an_adapter_and_says_its_settings(name):
    contestant = CONTESTANTS[name]
    module = contestant.module or f"benchmarks.adapters.{name}"
    file = ROOT.joinpath(*module.split(".")).with_suffix(".mjs" if contestant.node else ".py")

    assert file.is_file()
    assert contestant.settings


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=["quick", "full"])
def test_a_plan_names_contestants_that_there_are(plan):
    assert {*plan.contestants, *plan.only_latency} <= CONTESTANTS.keys()


def test_the_full_plan_measures_everybody():
    assert set(FULL.contestants) == CONTESTANTS.keys()


def test_a_worker_command_has_its_places_filled():
    command = CONTESTANTS["rq"].command(0, "redis://127.0.0.1:1/0")

    assert "redis://127.0.0.1:1/0" in command
    assert not any("{" in part for part in command)


@pytest.mark.parametrize("size", [200, 1024, 1024 * 1024])
def test_a_payload_has_the_size_it_should_have(size):
    assert len(json.dumps(payload(size))) == size
