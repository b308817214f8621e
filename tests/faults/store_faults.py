"""What happens to the store: killed, emptied, frozen, full, loading, read-only."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from emp_core.store.format import NEWEST_FORMAT
from faults.facts import Violation
from faults.fault import Effect, look_for
from faults.history import Wiped
from faults.rig import Rig


@contextmanager
def killed(rig: Rig) -> Iterator[Effect]:
    """Kill -9 the store and start it again on its data."""
    before = run_id(rig)
    rig.store.kill()
    effect = Effect()
    yield effect
    rig.store.start()
    effect.seen(run_id(rig) != before and "another process serves the same data")


@contextmanager
def another_format(rig: Rig) -> Iterator[Effect]:
    """Raise the format of the store, as a newer release does: every process ends with exit code 2.

    When the format is set back, all of them are started again.
    """
    key, units = rig.keys("format"), [*rig.servers, *rig.workers]
    known = rig.direct.get(key)
    rig.direct.set(key, NEWEST_FORMAT + 1)
    look_for(lambda: not any(unit.is_running() for unit in units), 20)
    codes = {unit.name: unit.process.popen.poll() for unit in units}
    wrong = "works on a store of a format that it does not know"
    effect = Effect("every process ended with exit code 2" if set(codes.values()) == {2} else "")
    effect.violations += [Violation(10, name, wrong) for name, code in codes.items() if code != 2]
    yield effect
    rig.direct.set(key, known)
    for unit in units:
        if not unit.is_running():
            unit.start()


def run_id(rig: Rig) -> str:
    """Give the id of the store's process."""
    return str(rig.direct.info("server")["run_id"])


@contextmanager
def emptied(rig: Rig) -> Iterator[Effect]:
    """Kill the store and start it without its data. What was acknowledged is gone; what follows must go well."""
    before = rig.direct.get(rig.keys("epoch"))
    rig.store.kill()
    rig.history.note(Wiped(time.monotonic()))
    shutil.rmtree(rig.store.data_dir / "appendonlydir")
    rig.store.start()
    effect = Effect()
    yield effect
    noticed = look_for(lambda: all(each.said("store_came_back_empty") for each in rig.workers), 20)
    after = rig.direct.get(rig.keys("epoch"))
    effect.seen(noticed and after != before and "every worker said that the store came back empty")


@contextmanager
def scripts_flushed(rig: Rig) -> Iterator[Effect]:
    """Flush the scripts a few times in the middle of everything."""
    for _ in range(5):
        rig.direct.script_flush()
        time.sleep(0.05)
    loaded = look_for(lambda: rig.direct.info("memory").get("number_of_cached_scripts", 0), 5)
    yield Effect(f"{loaded} scripts were loaded again" if loaded else "")


@contextmanager
def frozen(rig: Rig, seconds: float) -> Iterator[Effect]:
    """Stop the store's process for a while."""
    pid = rig.store.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    finally:
        os.kill(pid, signal.SIGCONT)
    yield Effect("it stood still" if state == "T" else "")


@contextmanager
def out_of_memory(rig: Rig) -> Iterator[Effect]:
    """Let the store have no memory left for anything new."""
    before = rig.answers(507)
    rig.direct.config_set("maxmemory", 1_000_000)
    effect = Effect()
    try:
        yield effect
        effect.seen(look_for(lambda: rig.answers(507) - before, 5))
    finally:
        rig.direct.config_set("maxmemory", 0)
    effect.evidence = effect.evidence and f"{effect.evidence} submissions were refused with 507"


@contextmanager
def disk_full(rig: Rig) -> Iterator[Effect]:
    """Fill the store's disk to the last byte."""
    filler = rig.store.data_dir / "filler"
    effect = Effect()
    before = rig.answers(503) + rig.answers(507)
    try:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        yield effect
        effect.seen(look_for(lambda: rig.answers(503) + rig.answers(507) - before, 10))
    finally:
        filler.unlink()
    look_for(lambda: rig.direct.info("persistence")["aof_last_write_status"] == "ok", 10)
    effect.evidence = effect.evidence and f"{effect.evidence} submissions were refused"


def no_small_disk() -> str:
    """Say what is missing for a disk that can be filled."""
    return "" if os.geteuid() == 0 and shutil.which("mount") else "only root can mount a small disk"


@contextmanager
def read_only(rig: Rig) -> Iterator[Effect]:
    """Make the store a replica of a primary that does not answer: it refuses every write."""
    rig.direct.execute_command("REPLICAOF", "127.0.0.1", "1")
    before = rig.answers(503)
    effect = Effect()
    try:
        yield effect
        effect.seen(look_for(lambda: rig.answers(503) - before, 10))
    finally:
        rig.direct.execute_command("REPLICAOF", "NO", "ONE")
    effect.evidence = effect.evidence and f"{effect.evidence} submissions were refused with 503"


@contextmanager
def loading(rig: Rig) -> Iterator[Effect]:
    """Restart the store with so much to load that it answers LOADING for a while."""
    for _ in range(20):  # commands that take time to load, outside EMP's keys
        pipeline = rig.direct.pipeline(transaction=False)
        for _ in range(1000):
            pipeline.incr("filler")
        pipeline.execute()
    rig.store.kill()
    rig.store_options(("--key-load-delay", "50"))
    seen = threading.Event()
    watching = threading.Thread(target=_watch_loading, args=(rig, seen), daemon=True)
    watching.start()
    rig.store.start()
    watching.join(10)
    rig.store_options(())
    rig.direct.config_set("key-load-delay", "0")
    yield Effect("it answered LOADING" if seen.is_set() else "")


def _watch_loading(rig: Rig, seen: threading.Event) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(rig.store.url, socket_timeout=1) as client:
        while time.monotonic() < deadline and not seen.is_set():
            try:
                client.get("filler")
            except redis.exceptions.BusyLoadingError:
                seen.set()
            except redis.RedisError:
                pass
            time.sleep(0.02)
