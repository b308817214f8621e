"""The users of the store that the page on production gives: servers and workers work with them, and do no more."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from emp_core.client import EmpClient
from emp_core.store.embedded import EmbeddedStore
from support.pages import page, section
from support.processes import StartedProcess, free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

EMP = str(Path(sys.executable).with_name("emp"))
PAGE = section(page("docs/how-to/run-in-production.md"), "Users of the store")
USERS = re.findall(r"^ACL SETUSER (\S+) (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """Return a store with the users of the page, whose default user is switched off."""
    with EmbeddedStore(tmp_path / "data", port=0) as store:
        with redis.Redis.from_url(store.url) as client:
            for name, rules in USERS:
                client.execute_command("ACL", "SETUSER", name, *rules.replace("PASSWORD", "pw").split())
            client.execute_command("ACL", "SETUSER", "default", "resetpass", "-@all", "+ping", "+shutdown")
        yield store


def url(store: EmbeddedStore, user: str) -> str:
    """Return the URL with which a user comes in."""
    return store.url.replace("redis://", f"redis://{user}:pw@")


def test_a_server_and_a_worker_do_their_work(
    store: EmbeddedStore, start_process: Callable[..., StartedProcess]
) -> None:
    """A job is submitted, performed and watched; the server is ready; a key can be made."""
    assert [name for name, _ in USERS] == ["emp-server", "emp-worker"]
    port = free_port()
    ours = {"EMP_NAMESPACE": "shop", "EMP_REDIS_URL": url(store, "emp-server")}
    start_process([EMP, "server", "--port", str(port)], env=ours)
    worker = start_process([EMP, "worker"], env={**ours, "EMP_REDIS_URL": url(store, "emp-worker")})
    with EmpClient(f"http://127.0.0.1:{port}", patience=30.0) as client:
        wait_until(lambda: any(each.workers_online for each in client.job_types()), 40)

        job = client.submit("simulation.run", {"steps": 3, "step_seconds": 0.05}, wait=20)

        assert (job.state, job.progress.fraction) == ("completed", 1.0)
    made = start_process([EMP, "keys", "create", "shop", "--scope", "submit"], env=ours)
    assert made.wait() == 0
    assert "NOPERM" not in worker.output()


@pytest.mark.parametrize("command", [("HGETALL", "{emp:shop}:keys"), ("GET", "other"), ("FLUSHALL",), ("KEYS", "*")])
def test_a_worker_reads_no_api_keys_and_nothing_of_others(store: EmbeddedStore, command: tuple[str, ...]) -> None:
    with redis.Redis.from_url(url(store, "emp-worker")) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)
