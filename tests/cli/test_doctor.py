"""`emp doctor` on a real store: what it prints, and the exit codes that a monitor goes by."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from emp_core.store.embedded import EmbeddedStore
from support.emp_command import EmpCommand

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(emp_command: EmpCommand, redis_url: str, namespace: str, tmp_path: Path) -> Run:
    """Give a function that runs `emp doctor` on a namespace of its own, in an empty folder."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        own = {"EMP_REDIS_URL": redis_url, "EMP_NAMESPACE": namespace}
        return emp_command.run("doctor", *arguments, cwd=tmp_path, env={**os.environ, **own, **env})

    return run


@pytest.fixture
def damage(valkey: EmbeddedStore, namespace: str) -> Callable[..., None]:
    """Give a function that runs a command on a key of the namespace."""

    def run(command: str, kind: str, *rest: object) -> None:
        with redis.Redis.from_url(valkey.url) as client:
            client.execute_command(command, f"{{emp:{namespace}:00}}:{kind}", *rest)

    return run


def test_a_sound_store_ends_with_0(doctor: Run) -> None:
    """One line for each question; nothing on stderr."""
    ran = doctor()

    assert (ran.returncode, ran.stderr) == (0, "")
    assert {line.split("\t")[0] for line in ran.stdout.splitlines()} == {"ok"}


def test_what_somebody_should_look_at_ends_with_1(doctor: Run, damage: Callable[..., None]) -> None:
    """A warning says what to do."""
    damage("HSET", "sweep", "at", 1)

    ran = doctor()

    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("warning")]
    assert ran.returncode == 1
    assert "start a server or a worker" in line


def test_damage_ends_with_2_until_it_is_mended(doctor: Run, damage: Callable[..., None]) -> None:
    """--fix mends it and looks again."""
    damage("ZADD", "scheduled", 1, "0" * 26)

    found, fixed, after = doctor(), doctor("--fix"), doctor()

    assert [found.returncode, fixed.returncode, after.returncode] == [2, 0, 0]
    assert fixed.stderr == "Mended 1.\n"


def test_json_has_the_verdict_and_every_finding(doctor: Run, damage: Callable[..., None]) -> None:
    """For whatever reads it."""
    damage("HINCRBY", "counts", "claimed:test.work", 3)

    document = json.loads(doctor("--json").stdout)

    assert document["verdict"] == "error"
    (wrong,) = [finding for finding in document["findings"] if finding["severity"] != "ok"]
    assert (wrong["check"], wrong["fixable"]) == ("counters", 1)
    assert "claimed:test.work by +3" in wrong["detail"]


def test_a_store_that_is_away_ends_with_8(doctor: Run) -> None:
    """As every command does that cannot reach what it needs."""
    ran = doctor("--redis-url", "redis://127.0.0.1:1/0")

    assert (ran.returncode, ran.stdout) == (8, "")
    assert ran.stderr.startswith("Error: no answer from the store")
