"""All bookkeeping of a store is damaged while EMP runs: the processes go on, and jobs are performed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from emp_core.cli.doctor import Verdict
from support.emp_command import EmpCommand
from support.processes import StartedProcess
from support.waiting import wait_until

from .conftest import Stack

pytestmark = pytest.mark.slow

OF_JOBS = (b":job:", b":payload:", b":result:", b":error:")
BYTES = b'"\xff\xfe"'


def another_type(client: redis.Redis, key: bytes) -> None:
    kind = client.type(key)
    client.delete(key)
    client.set(key, "x") if kind == b"list" else client.rpush(key, "x")


def no_text(client: redis.Redis, key: bytes) -> None:
    match client.type(key):
        case b"string":
            client.set(key, BYTES)
        case b"hash":
            client.hset(key, mapping=dict.fromkeys([*client.hkeys(key), BYTES], BYTES))
        case b"list":
            client.lpush(key, BYTES)
        case b"set":
            client.sadd(key, BYTES)
        case b"zset":
            client.zadd(key, {BYTES: 0})


@pytest.mark.parametrize("spoil", [another_type, no_text])
def test_processes_go_on_with_damaged_bookkeeping(
    stack: Stack,
    worker: StartedProcess,
    emp_command: EmpCommand,
    tmp_path: Path,
    spoil: Callable[[redis.Redis, bytes], None],
) -> None:
    """The types are announced again within a lease, and then a job is performed; nothing has died of it."""
    job = ("simulation.run", {"steps": 1, "step_seconds": 0.01})
    stack.client.wait(stack.client.submit(*job).id)
    stack.client.submit(*job, delay=600, tags=["red"])
    with redis.Redis.from_url(stack.store.url) as client:
        keys = [key for key in client.keys("{emp:*") if not key.endswith(b":format")]
        for key in keys:
            if not any(part in key for part in OF_JOBS):
                spoil(client, key)

        # The server would know the types for a while; the store has them when the worker has announced them again.
        wait_until(lambda: are_announced(client), timeout=30)
    done = stack.client.wait(stack.client.submit(*job).id)
    doctor = emp_command.run("doctor", "--fix", "--redis-url", stack.store.url, cwd=tmp_path, env={})

    assert done.state == "completed"
    assert worker.popen.poll() is None
    assert stack.server.popen.poll() is None
    assert "Traceback" not in worker.output() + stack.server.output() + doctor.stdout + doctor.stderr
    assert doctor.returncode in {Verdict.OK, Verdict.WARNING, Verdict.ERROR}
    assert "Mended" in doctor.stdout + doctor.stderr


def are_announced(client: redis.Redis) -> bool:
    """Return whether the store knows a type of the worker, by its announcement."""
    key = "{emp:default}:types"
    if client.type(key) != b"hash":
        return False
    known = client.hgetall(key)
    return any(name.startswith(b"simulation.run|") and text[:1].isdigit() for name, text in known.items())
