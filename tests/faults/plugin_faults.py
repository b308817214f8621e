"""What is wrong with plugins: one fails at import, two claim one name, one disagrees about a schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Effect, look_for
from faults.rig import Rig
from support.scratch_plugins import an_echo


@contextmanager
def broken(rig: Rig) -> Iterator[Effect]:
    """Start a worker with one more plugin, which cannot be imported: the others are served."""
    plugins = {"emp-plugin-broken": "raise RuntimeError('no')"}
    with rig.another_worker("broken", plugins) as worker:
        failed = look_for(lambda: worker.said("plugin_failed"), 20)
        serves = look_for(lambda: worker.said("worker_started"), 10)
        yield Effect("it was reported, and the worker works" if failed and serves else "")


@contextmanager
def twins(rig: Rig) -> Iterator[Effect]:
    """Start a worker with two more plugins that declare the same job type: neither is served, the others are."""
    plugins = {"emp-plugin-left": an_echo("faults.twin"), "emp-plugin-right": an_echo("faults.twin")}
    with rig.another_worker("twins", plugins) as worker:
        failed = look_for(lambda: worker.said("faults.twin"), 20)
        serves = look_for(lambda: worker.said("worker_started"), 10)
        yield Effect("it was reported, and the worker works" if failed and serves else "")


@contextmanager
def disagreeing(rig: Rig) -> Iterator[Effect]:
    """Start a worker with an older version of the plugin, which refuses every payload: others perform the jobs."""
    source = rig.plugin_source().replace("    key: str\n", "    key: str\n    colour: str\n", 1)
    effect = Effect()
    with rig.another_worker("older", {"emp-plugin-faults": source}, version="0.9") as worker:
        look_for(lambda: worker.said("worker_started"), 20)
        yield effect
        look_for(lambda: _refusals(rig), 10)
    effect.seen((count := _refusals(rig)) and f"payloads were refused {count} times")


def _refusals(rig: Rig) -> int:
    return sum(int(fields.get("refusals", 0)) for fields in rig.snapshot().jobs.values())
