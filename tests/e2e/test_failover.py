"""The primary is lost while jobs are submitted and performed: server and worker follow, and what was lost is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emp_core.client import EmpClient
from emp_core.errors import NotFound
from support.running import running_stack
from support.sentinels import watched_stores
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUBMITTERS = 3
PAUSE = 0.01
"""Seconds between two submissions of one client."""


@dataclass
class Load:
    """Clients that submit jobs until they are told to stop, and when each was acknowledged."""

    url: str
    acknowledged: dict[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    def submit(self) -> None:
        """Submit one job after the other; a refusal is waited out, and the same submission sent again."""
        with EmpClient(self.url, patience=120.0) as client:
            while not self.stop.wait(PAUSE):
                job = client.submit("simulation.run", {"steps": 1, "step_seconds": 0.0})
                self.acknowledged[job.id] = time.monotonic()

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more jobs are acknowledged."""
        wanted = len(self.acknowledged) + number
        wait_until(lambda: len(self.acknowledged) >= wanted, 120)

    def settled(self) -> dict[str, str | None]:
        """Give the final state of every acknowledged job; None for one that the store does not know."""
        with EmpClient(self.url) as client:
            return {job_id: self._final(client, job_id) for job_id in list(self.acknowledged)}

    def _final(self, client: EmpClient, job_id: str) -> str | None:
        try:
            return str(client.wait(job_id, 60.0).state)
        except NotFound:
            return None


@contextmanager
def loaded(url: str) -> Iterator[Load]:
    """Run the clients beside the body; they have ended when it has."""
    load = Load(url)
    with ThreadPoolExecutor(SUBMITTERS) as pool:
        submitters = [pool.submit(load.submit) for _ in range(SUBMITTERS)]
        try:
            yield load
        finally:
            load.stop.set()
    for submitter in submitters:
        submitter.result()


@pytest.mark.parametrize("durability", ["store", "replica"])
def test_a_failover_under_load(durability: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a replica cut off, the primary dies: what only the primary had is lost, and at level replica nothing was."""
    monkeypatch.setenv("EMP_DURABILITY", durability)
    wanted = {"store": (), "replica": ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")}[durability]
    with (
        watched_stores(tmp_path, "--appendonly", "yes", *wanted) as stores,
        running_stack(stores.url, tmp_path / "stack.log") as url,
    ):
        with loaded(url) as load:
            load.wait_for_more(50)
            stores.cut_replication()
            cut = time.monotonic()
            if durability == "store":
                load.wait_for_more(20)
            else:
                wait_until(lambda: stores.first.client.info("replication")["connected_slaves"] == 0, 10)
            stores.fail_over()
            killed = time.monotonic()
            stores.bring_back()
            load.wait_for_more(50)
        states = load.settled()

    lost = {job_id for job_id, state in states.items() if state is None}
    only_there = {job_id for job_id, at in load.acknowledged.items() if cut - 1 <= at <= killed}
    print(f"durability {durability}: {len(states)} acknowledged, {len(lost)} lost with the primary")
    assert set(states.values()) - {None} == {"completed"}
    assert lost <= only_there
    assert bool(lost) is (durability == "store")
