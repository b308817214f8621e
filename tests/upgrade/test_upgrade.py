"""Upgrades on one store with jobs in it: rolling and in place, forth and back, within a format and across.

Each release is built as wheels from a commit and runs in processes of its own.
"""

from __future__ import annotations

import pytest

from emp_core.client import EmpClient
from support.waiting import wait_until

from .conftest import PRESENT, Release, Site, exit_code, verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TYPE = "simulation.run"
QUICK = {"steps": 1, "step_seconds": 0.01}
RUNNING = {"steps": 400, "step_seconds": 0.05}


def submit(client: EmpClient, count: int = 20) -> list[str]:
    """Submit jobs, a quarter of them for in a second, in a form that every release knows."""
    return [client.submit(TYPE, QUICK, delay=1.0 if n % 4 == 0 else None).id for n in range(count)]


def all_complete(client: EmpClient, ids: list[str]) -> bool:
    """Return whether all these jobs are completed."""
    return {client.get(job_id).state for job_id in ids} == {"completed"}


def has_type(client: EmpClient, workers: int = 1) -> bool:
    """Return whether this many workers serve the job type."""
    return any(each.job_type == TYPE and each.workers_online == workers for each in client.job_types())


@pytest.fixture(params=["upgrade", "downgrade"])
def releases(request: pytest.FixtureRequest, same_format: Release) -> tuple[Release, Release]:
    """Return the release that runs first and the one that comes after, of one format, in both orders."""
    return (same_format, PRESENT) if request.param == "upgrade" else (PRESENT, same_format)


def test_releases_of_one_format_work_together(site: Site, releases: tuple[Release, Release]) -> None:
    """A rolling upgrade: both work side by side, then the first one goes; every job is performed."""
    first, second = releases
    site.server(first)
    site.worker(first)
    with site.client(first) as before:
        wait_until(lambda: has_type(before), 40)
        ids = submit(before)
        site.server(second)
        site.worker(second)
        with site.client(second) as after:
            wait_until(lambda: has_type(after, workers=2), 40)
            ids += submit(before) + submit(after)
            assert site.stop(first) == [0, 0]
            ids += submit(after)
            wait_until(lambda: all_complete(after, ids), 60)
    assert verdict(site.emp(PRESENT, "doctor")) == []


def test_an_upgrade_in_place_within_a_format_loses_nothing(site: Site, releases: tuple[Release, Release]) -> None:
    """All of the first release stops with jobs that wait and one that runs; the second performs them all."""
    first, second = releases
    site.server(first)
    worker = site.worker(first)
    with site.client(first) as before:
        wait_until(lambda: has_type(before), 40)
        running = before.submit(TYPE, RUNNING).id
        wait_until(lambda: before.get(running).state == "in_progress", 20)
        worker.popen.terminate()
        assert exit_code(worker) == 0
        ids = submit(before)
        before.cancel(running)
    site.stop(first)

    site.server(second)
    site.worker(second)
    with site.client(second) as after:
        wait_until(lambda: all_complete(after, ids), 60)
        assert after.get(running).state == "cancelled"
    assert verdict(site.emp(PRESENT, "doctor")) == []


def test_an_older_store_is_refused_until_it_is_migrated(site: Site, other_format: Release) -> None:
    """A rolling upgrade does not begin and disturbs nothing; after one in place every waiting job is performed."""
    old_server, _ = site.server(other_format), site.worker(other_format)
    with site.client(other_format) as before:
        wait_until(lambda: has_type(before), 40)
        new_server, new_worker = site.server(PRESENT), site.worker(PRESENT)
        assert [exit_code(new_server), exit_code(new_worker)] == [2, 2]
        assert "emp store migrate" in new_server.output()
        assert "emp store migrate" in new_worker.output()
        assert site.emp(PRESENT, "store", "migrate", "--apply").returncode == 2  # it is in use
        done = submit(before)
        wait_until(lambda: all_complete(before, done), 40)
        site.running[other_format.name].remove(old_server)
        assert site.stop(other_format) == [0]
        ids = submit(before)
    old_server.popen.terminate()
    assert exit_code(old_server) == 0

    wait_until(lambda: site.emp(PRESENT, "store", "migrate", "--apply").returncode == 0, 20)
    site.server(PRESENT)
    site.worker(PRESENT)
    with site.client(PRESENT) as after:
        wait_until(lambda: all_complete(after, ids), 60)
        assert all_complete(after, done)
    assert verdict(site.emp(PRESENT, "doctor")) == []


def test_the_first_use_of_something_new_ends_the_older_release(site: Site, same_format: Release) -> None:
    """Its processes would do it wrong, so they end with exit code 2; what they held, the newer release performs."""
    old_server, old_worker = site.server(same_format), site.worker(same_format)
    site.server(PRESENT)
    with site.client(PRESENT) as client:
        wait_until(lambda: has_type(client), 40)
        held = client.submit(TYPE, {"steps": 40, "step_seconds": 0.05}).id
        wait_until(lambda: client.get(held).state == "in_progress", 20)
        new = client.submit(TYPE, QUICK, on_worker_lost="fail").id
        assert [exit_code(old_server), exit_code(old_worker)] == [2, 2]
        refused = site.worker(same_format)
        assert exit_code(refused) == 2
        assert "Install the release" in refused.output()
        site.worker(PRESENT)
        wait_until(lambda: all_complete(client, [held, new]), 60)
    assert verdict(site.emp(PRESENT, "doctor")) == []
