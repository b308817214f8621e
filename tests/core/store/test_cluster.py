"""Every script runs on a Cluster as it is: a partition is one slot, so partitions can come without touching them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import count, pairwise

import pytest
from redis.crc import key_slot

from emp_core.ids import new_worker_id
from emp_core.jobs import Announcement
from emp_core.store import Store
from emp_core.store.connection import connect
from emp_core.store.keys import Keys, namespace_tag
from emp_core.store.scripts import Script, Scripts
from support.processes import free_port
from support.stores import StartedStore, started_store
from support.waiting import wait_until

from .conftest import TYPE, Engine
from .invariants import violations
from .soak import Soak, random_steps
from .test_transitions import test_the_scripts_make_exactly_the_moves_of_the_table as the_moves_are_those_of_the_table

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BOUNDS = (0, 5461, 10923, 16384)
"""Where each node's slots begin, and the end."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[StartedStore]]:
    """Run a Cluster of three nodes, each with a third of the slots."""
    with ExitStack() as stack:
        nodes = []
        for (first, end), number in zip(pairwise(BOUNDS), count(), strict=False):
            directory = tmp_path_factory.mktemp(f"node{number}")
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            nodes.append(stack.enter_context(started_store(directory, *options)))
            nodes[-1].client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in nodes[1:]:
            bus = node.client.config_get("cluster-port")["cluster-port"]
            nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            wait_until(lambda node=node: b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO"), 30)
        yield nodes


def owner(nodes: list[StartedStore], key: str) -> int:
    """Give the number of the node that has a key's slot."""
    slot = key_slot(key.encode())
    return next(number for number, (first, end) in enumerate(pairwise(BOUNDS)) if first <= slot < end)


class SeenScripts(Scripts):
    """The scripts, and the names of those that were called."""

    def __init__(self) -> None:
        super().__init__(shifted_clock=True)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Script:
        """Give a script, and remember that it was asked for."""
        self.seen.add(name)
        return super().__getitem__(name)


@pytest.fixture(params=range(3))
async def engine(request: pytest.FixtureRequest, nodes: list[StartedStore], namespace: str) -> AsyncIterator[Engine]:
    """Give the store on each node in turn, in a namespace whose slots are there; the client follows no redirection."""
    names = (f"{namespace}{n}" for n in range(1000))
    tags = ((name, (f"{namespace_tag(name)}:types", Keys(name, "00")("seq"))) for name in names)
    name = next(name for name, keys in tags if {owner(nodes, key) for key in keys} == {request.param})
    url = nodes[request.param].url
    async with connect(url) as raw, connect(url) as client:
        store = Store(client, name, SeenScripts(), lambda: connect(url, connections=2, blocking_for=5))
        yield Engine(store, raw, Keys(name, "00"), name)
        await store.close()


async def test_every_script_runs_on_a_cluster(engine: Engine) -> None:
    """Whatever happens, no script leaves its slot, and all is in order afterwards."""
    scripts = engine.store.jobs._scripts
    assert isinstance(scripts, SeenScripts)
    await engine.store.types.announce([Announcement(TYPE, "ab", "dist", "1")])
    await engine.store.jobs.ring(TYPE)
    await engine.store.initialize()
    await engine.store.workers.register(worker := new_worker_id(), {})
    await engine.store.workers.renew(worker, 0.0)
    soak = Soak(engine)

    await soak.run(random_steps(1, 300))
    await engine.store.views.stats()
    minute = int((await engine.store.history.now()).timestamp()) // 60
    await engine.store.history.minutes([minute - 1, minute])
    await engine.store.measures.measure()

    assert await violations(engine) == []
    assert scripts.seen == {script.name for script in scripts}


async def test_the_moves_on_a_cluster_are_those_of_the_table(engine: Engine) -> None:
    """The same test as on the other engines."""
    await the_moves_are_those_of_the_table(engine)
