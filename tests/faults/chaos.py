"""The chaos run: random faults, about one every two seconds, under load; then all is healed, settled and checked.

`make chaos SECONDS=60 SEED=1`. Chance follows from the seed: which faults, where and when; not what the machine makes
of it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click

from faults.clients import Wish
from faults.proxy import Line
from faults.rig import Rig, Setup
from faults.units import Unit, Worker

SETUP: Final = Setup(servers=2, workers=3, clients=3, wish=Wish(seconds=0.4))
EVERY: Final = 1.8
"""Seconds between two faults, on average."""
LONG_STOP: Final = 18.0
"""Seconds of a stop that outlives a lease."""
LEAST_A_MINUTE: Final = 20

Deed = Callable[["Chaos", random.Random], bool]
"""Injects and heals; tells whether it took effect."""


@dataclass(slots=True)
class Chaos:
    """A rig in which faults happen, several at once but one at a time to each process."""

    rig: Rig
    store_busy: threading.Lock = field(default_factory=threading.Lock)
    took_effect: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def carry_out(self, name: str, seed: int) -> None:
        """Do one fault from its beginning to its healing, on a thread of its own."""
        try:
            took_effect = DEEDS[name](self, random.Random(seed))
        # The process had gone already, or did not come back.
        except (OSError, AssertionError, subprocess.TimeoutExpired) as error:
            self.errors.append(f"{name}: {error!r}")
            took_effect = False
        (self.took_effect if took_effect else self.missed)[name] += 1

    def take(self, units: list[Worker] | list[Unit], chance: random.Random) -> Unit | None:
        """Take a process that no other fault is at; None if there is none."""
        for unit in chance.sample(units, len(units)):
            if unit.busy.acquire(blocking=False):
                return unit
        return None


def on_worker(act: Callable[[Worker, random.Random], bool]) -> Deed:
    """Do something to a worker, if one is free for it."""

    def deed(chaos: Chaos, chance: random.Random) -> bool:
        worker = chaos.take(chaos.rig.workers, chance)
        if not isinstance(worker, Worker):
            return False
        try:
            return act(worker, chance)
        finally:
            worker.busy.release()

    return deed


def kill_worker(worker: Worker, chance: random.Random) -> bool:
    """Kill -9 the worker process; its supervisor starts another."""
    worker.send(signal.SIGKILL)
    return True


def kill_machine(worker: Worker, chance: random.Random) -> bool:
    """Kill -9 the supervisor, too."""
    worker.kill()
    time.sleep(chance.uniform(0.5, 3))
    worker.start()
    return True


def stop_worker(worker: Worker, seconds: float) -> bool:
    """Stop the worker process and let it continue; for longer than a lease with its supervisor."""
    with worker.stopped(with_supervisor=seconds >= LONG_STOP):
        time.sleep(seconds)
    return True


def drain_worker(worker: Worker, chance: random.Random) -> bool:
    """Send SIGTERM, and start the worker again after its end."""
    worker.process.send(signal.SIGTERM)
    ended = worker.process.wait(40) == 0
    worker.start()
    return ended


def kill_server(chaos: Chaos, chance: random.Random) -> bool:
    """Kill -9 a server, and start it again."""
    server = chaos.take([*chaos.rig.servers], chance)
    if server is None:
        return False
    try:
        server.kill()
        time.sleep(chance.uniform(0.1, 1))
        server.start()
    finally:
        server.busy.release()
    return True


def kill_store(chaos: Chaos, chance: random.Random) -> bool:
    """Kill -9 the store, and start it on its data."""
    with chaos.store_busy:
        chaos.rig.store.kill()
        time.sleep(chance.uniform(0, 1))
        chaos.rig.store.start()
    return True


def stop_store(chaos: Chaos, chance: random.Random) -> bool:
    """Stop the store for up to three seconds: longer than its callers wait."""
    with chaos.store_busy:
        os.kill(chaos.rig.store.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0.5, 3))
        os.kill(chaos.rig.store.pid, signal.SIGCONT)
    return True


def flush_scripts(chaos: Chaos, chance: random.Random) -> bool:
    """Flush the scripts."""
    with chaos.store_busy:
        return bool(chaos.rig.direct.script_flush())


def cut_lines(chaos: Chaos, chance: random.Random) -> bool:
    """Reset all connections of some processes."""
    units: list[Unit] = [*chaos.rig.servers, *chaos.rig.workers]
    return sum(unit.line.cut() for unit in chance.sample(units, chance.randint(1, len(units)))) > 0


def on_line(make: Callable[[random.Random], Line]) -> Deed:
    """Let the line of one process be bad for a while."""

    def deed(chaos: Chaos, chance: random.Random) -> bool:
        unit = chaos.take([*chaos.rig.servers, *chaos.rig.workers], chance)
        if unit is None:
            return False
        try:
            unit.line.set(make(chance))
            time.sleep(chance.uniform(1, 4))
        finally:
            unit.line.heal()
            unit.busy.release()
        return True

    return deed


DEEDS: Final[dict[str, Deed]] = {
    "worker killed": on_worker(kill_worker),
    "worker's machine killed": on_worker(kill_machine),
    "worker stopped": on_worker(lambda worker, chance: stop_worker(worker, chance.uniform(1, 5))),
    "worker stopped for more than a lease": on_worker(lambda worker, chance: stop_worker(worker, LONG_STOP)),
    "worker drained": on_worker(drain_worker),
    "server killed": kill_server,
    "store killed": kill_store,
    "store stopped": stop_store,
    "scripts flushed": flush_scripts,
    "connections cut": cut_lines,
    "connections cut after n bytes": on_line(lambda chance: Line(cut="down", cut_after=chance.randrange(1, 4000))),
    "connections stalled": on_line(lambda chance: Line(stalled=frozenset({"up", "down"}))),
    "connections split": on_line(lambda chance: Line(piece=1)),
}


def schedule(seconds: float, chance: random.Random) -> list[tuple[float, str, int]]:
    """Give what happens when: every kind before any comes twice, the slow one first. Times are seconds from now."""
    names: list[str] = []
    plan, at = [], 1.0
    while at < seconds:
        if not names:
            names = chance.sample(sorted(DEEDS), len(DEEDS))
            if not plan:
                names.sort(key=lambda name: "more than a lease" in name)
            else:
                names.remove("worker stopped for more than a lease")
        plan.append((at, names.pop(), chance.randrange(1 << 32)))
        at += chance.uniform(0.6, 1.4) * EVERY
    return plan


def carry_out(chaos: Chaos, plan: list[tuple[float, str, int]]) -> None:
    """Carry a plan out, and wait until everything is healed."""
    began, threads = time.monotonic(), []
    for at, name, seed in plan:
        time.sleep(max(0.0, began + at - time.monotonic()))
        thread = threading.Thread(target=chaos.carry_out, args=(name, seed), name=name, daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(60)


def run(folder: Path, seconds: float, seed: int, setup: Setup = SETUP) -> list[str]:
    """Run chaos, print what came of it, and give what is wrong."""
    plan = schedule(seconds, random.Random(seed))
    with Rig(folder, setup, str(seed)) as rig:
        chaos = Chaos(rig)
        with rig.load():
            carry_out(chaos, plan)
        rig.wait_until_whole(120)
        is_settled = rig.settle(90)
        rig.probe()
        rig.read_back(20)
        totals, violations = rig.check()
    for name in DEEDS:
        print(f"{name:44} {chaos.took_effect[name]:4} took effect, {chaos.missed[name]} did not")
    count = chaos.took_effect.total()
    print(f"{'faults':44} {count:4}")
    print(f"{'acknowledged':44} {totals.acknowledged:4}\n{'final':44} {totals.final:4}")
    print(f"{'extra runs':44} {totals.extra_runs:4}\n{'stale writes refused':44} {totals.refused:4}")
    print(f"{'violations':44} {len(violations):4}", flush=True)
    wrong = [str(violation) for violation in violations]
    if not is_settled:
        wrong.append("not every job had ended after 90 s")
    if count < LEAST_A_MINUTE * seconds / 60:
        wrong.append(f"only {count} faults took effect: {chaos.errors}")
    if seconds >= 60:
        wrong += [f"{name!r} never took effect: {chaos.errors}" for name in DEEDS if not chaos.took_effect[name]]
    return wrong


@click.command()
@click.option("--seconds", type=float, default=60.0, help="How long faults are injected.")
@click.option("--seed", type=int, help="What chance follows from; a new one each time by default.")
@click.option("--source", type=click.Path(path_type=Path), help="Run EMP from this copy of `src`.")
def main(seconds: float, seed: int | None, source: Path | None) -> None:
    """Inject random faults; exits 0 only if enough took effect and nothing that is promised was violated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = random.randrange(1 << 32) if seed is None else seed
    print(f"seed {seed}, {seconds:g} seconds", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="emp-chaos-"))
    wrong = run(folder, seconds, seed, replace(SETUP, source=source))
    for line in wrong[:40]:
        print(f"    {line}")
    if wrong:
        print(f"history, journal and logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
