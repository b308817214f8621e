"""Ten thousand clients wait for jobs at one server process: all are answered, over its few connections to the store."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import Completed, Submission
from emp_core.store import Store
from support.crowds import open_files, serving
from support.waiting import wait_until_async

from .conftest import register

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

WAITERS = 10_000
AT_ONCE = 200
KIB_EACH = 60
"""Memory of the server for each waiter: a connection, a request, a place among the listeners. 35 were measured."""
READS_A_SECOND = 1_000
"""Commands of the store while all wait and nothing happens: 250 were measured. Each for itself would make 2,000."""


@pytest.fixture
def many_files():
    """Let this process have a socket for each."""
    with open_files(WAITERS + 500):
        yield


class Waiter(asyncio.Protocol):
    """A client that asks for a job and waits; in the end the job's state is counted, or what came instead."""

    def __init__(self, job_id: str, answered: Counter[str]) -> None:
        self.job_id = job_id
        self.answered = answered
        self.read = b""

    def connection_made(self, transport) -> None:
        path = f"/v1/jobs/{self.job_id}?wait=500"
        transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.read += data

    def connection_lost(self, error) -> None:
        state = re.search(rf'"id":"{self.job_id}".*"state":"(\w+)"', self.read.decode())
        self.answered[state[1] if state else f"{self.read[:40]!r} {error}"] += 1


@pytest.fixture
async def served(start_process, redis_url, namespace, store):
    async with serving(start_process, redis_url, namespace, EMP_LONGEST_WAIT="PT10M") as served:
        yield served


async def complete_all(store: Store) -> None:
    """Let every job end well."""
    worker, claims = await register(store), 0
    while True:
        claims += 1
        await store.workers.renew(worker.worker_id, 0.0)
        jobs = (await store.jobs.claim(worker.worker_id, claims, {"any.thing": AT_ONCE}, AT_ONCE)).jobs
        if not jobs:
            return
        await store.jobs.complete(worker.worker_id, [Completed(job.job_id, job.token, b"1") for job in jobs])


@pytest.mark.usefixtures("many_files")
async def test_ten_thousand_wait_and_all_are_answered_over_a_handful_of_connections(served, store):
    """What they cost meanwhile is bounded, too: memory, and what the store is asked while nothing happens."""
    answered: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    job_ids = [new_job_id() for _ in range(WAITERS)]
    await store.jobs.submit([Submission(job_id, "any.thing", b"null") for job_id in job_ids])
    connections, memory = await served.connections(), served.memory_kib()

    for at in range(0, WAITERS, AT_ONCE):
        waiters = [Waiter(job_id, answered) for job_id in job_ids[at : at + AT_ONCE]]
        await asyncio.gather(
            *(loop.create_connection(lambda waiter=waiter: waiter, "127.0.0.1", served.port) for waiter in waiters)
        )
    await wait_until_async(lambda: served.has_in_flight(WAITERS), timeout=200)
    more_connections = await served.connections() - connections
    kib_each = (served.memory_kib() - memory) / WAITERS
    commands, since = await served.commands(), loop.time()
    await asyncio.sleep(5)  # a rate is made of time
    reads_a_second = (await served.commands() - commands) / (loop.time() - since)
    await complete_all(store)
    await wait_until_async(lambda: are_answered(answered), timeout=200)

    assert answered == {"completed": WAITERS}
    assert more_connections <= 2
    assert kib_each < KIB_EACH
    assert reads_a_second < READS_A_SECOND


async def are_answered(answered: Counter[str]) -> bool:
    """Tell whether all have had an answer."""
    return answered.total() == WAITERS
