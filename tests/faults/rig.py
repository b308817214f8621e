"""The rig: the whole of EMP under test, on loopback, each process behind a line to the store that can be cut."""

from __future__ import annotations

import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import redis

from emp_core.store import PARTITION
from emp_core.store.embedded import EmbeddedStore, find_binary
from emp_core.store.keys import Keys
from faults.checker import check
from faults.clients import Client, Lag, Wish, clients_at_work
from faults.clock import Clock
from faults.facts import Violation
from faults.history import Historian, Probe, read_history
from faults.journal import read_journal
from faults.proxy import Proxy
from faults.snapshot import Snapshot, take_snapshot
from faults.units import Server, Worker
from support.scratch_plugins import install
from support.waiting import wait_until

NAMESPACE: Final = "faults"
SETTLE_TIMEOUT: Final = 60.0
PENDING_BOUND: Final = 0.1
"""Seconds that a pending job may wait while a worker has a free slot (invariant 8)."""
DUE_BOUND: Final = 1.0
_STORE_OPTIONS: Final = (
    # The ledger is read from the append-only file, so it must not be rewritten.
    *("--auto-aof-rewrite-percentage", "0"),
    *("--enable-debug-command", "local"),
)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rig is made of."""

    servers: int = 2
    workers: int = 2
    clients: int = 3
    wish: Wish = field(default_factory=Wish)
    small_disk: bool = False
    clocks: bool = False
    source: Path | None = None
    """A folder to run EMP from instead of the installed packages, such as a changed copy of `src`."""
    worker_options: tuple[str, ...] = ("--grace", "2")
    settle_timeout: float = SETTLE_TIMEOUT
    """Seconds in which every job must have ended when all is healed."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run comes to."""

    acknowledged: int = 0
    final: int = 0
    extra_runs: int = 0
    refused: int = 0

    def since(self, before: Totals) -> Totals:
        """Give what has come since then."""
        return Totals(
            self.acknowledged - before.acknowledged,
            self.final - before.final,
            self.extra_runs - before.extra_runs,
            self.refused - before.refused,
        )


class Rig:
    """A store, servers and workers that run, clients that note what happens, and the check of it all."""

    def __init__(self, folder: Path, setup: Setup, seed: str) -> None:
        self.folder = folder
        self.setup = setup
        self.chance = random.Random(seed)
        self._seed = seed
        self._rounds = 0
        self._stack = ExitStack()
        self._wrapper = folder / "store-server"
        self.store_options(())
        self.store = EmbeddedStore(folder / "data", port=0, binary=self._wrapper)
        self.keys = Keys(NAMESPACE, PARTITION)
        self.journal = folder / "journal.jsonl"
        self._clocks: dict[str, Clock] = {}
        self.servers: list[Server] = []
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        """Start everything and wait until jobs can be performed."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything and leave nothing behind but the folder."""
        self._stack.close()

    def _start(self) -> None:
        if self.setup.small_disk:
            self._stack.enter_context(small_disk(self.folder / "data"))
        if self.setup.clocks:
            self.store_options((), self.clock("store").env)
        self._stack.enter_context(self.store)
        self.direct = self._stack.enter_context(redis.Redis.from_url(self.store.url))
        self.history = Historian(self.folder / "history.jsonl")
        self._stack.callback(self.history.close)
        env = self._env("site", {"emp-plugin-faults": self.plugin_source()}, "1.0")
        for number in range(self.setup.servers):
            self.servers.append(Server(f"server-{number}", self._line(), self.folder, env))
        for number in range(self.setup.workers):
            self.workers.append(self._worker(f"worker-{number}", env))
        for unit in (*self.servers, *self.workers):
            self._stack.callback(unit.close)
            unit.start()
        self.client = Client([each.url for each in self.servers], self.history, f"{self._seed}.0", self.setup.wish)
        self._stack.callback(self.client.close)
        self.wait_until_whole()

    def _worker(self, name: str, env: Mapping[str, str]) -> Worker:
        clock = self.clock(name).env if self.setup.clocks else {}
        return Worker(name, self._line(), self.folder, {**env, **clock}, self.setup.worker_options)

    def plugin_source(self) -> str:
        """Give the plugin of the rig, which writes into the rig's journal."""
        return Path(__file__).with_name("handlers.py").read_text().replace("@JOURNAL@", str(self.journal))

    def _env(self, site: str, plugins: Mapping[str, str], version: str) -> dict[str, str]:
        """Install plugins into a folder of their own, and give the variables of a process that loads them alone."""
        folder = self.folder / site
        folder.mkdir()
        for distribution, source in plugins.items():
            install(folder, distribution, source, version=version)
        path = [folder, *([self.setup.source] if self.setup.source else [])]
        names = {"EMP_NAMESPACE": NAMESPACE, "EMP_PLUGINS": ",".join(plugins)}
        return {**names, "PYTHONPATH": ":".join(map(str, path))}

    @contextmanager
    def another_worker(self, name: str, plugins: Mapping[str, str], version: str = "1.0") -> Iterator[Worker]:
        """Run one more worker, with these plugins beside the rig's own or instead of it."""
        ours = {"emp-plugin-faults": self.plugin_source()}
        worker = self._worker(name, self._env(f"site-{name}", ours | plugins, version))
        worker.start()
        try:
            yield worker
            worker.process.send(signal.SIGTERM)
            worker.process.wait(30)
        finally:
            worker.close()

    def clock(self, name: str) -> Clock:
        """Give the clock of the store, or of a worker."""
        if name not in self._clocks:
            self._clocks[name] = Clock(name, self.folder)
        return self._clocks[name]

    @cached_property
    def script_names(self) -> Mapping[str, str]:
        """Give the name that the store knows each verb's script by, as the processes under test call it."""
        command = "from emp_core.store.scripts import Scripts; print(*(f'{s.name}={s.sha}' for s in Scripts()))"
        env = {"PYTHONPATH": str(self.setup.source)} if self.setup.source else {}
        said = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True, env=env)
        return dict(pair.split("=") for pair in said.stdout.split())

    def _line(self) -> Proxy:
        return self._stack.enter_context(Proxy(int(self.store.url.rpartition(":")[2].partition("/")[0])))

    def store_options(self, options: tuple[str, ...], env: dict[str, str] | None = None) -> None:
        """Say what the store is started with from its next start on, besides what EMP gives it."""
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items())
        words = shlex.join((*_STORE_OPTIONS, *options))
        command = f'#!/bin/sh\n{variables} exec {shlex.quote(str(find_binary()))} "$@" {words}\n'
        self._wrapper.write_text(command)
        self._wrapper.chmod(0o700)

    def wait_until_whole(self, timeout: float = 60.0) -> None:
        """Wait until the store answers, every server is ready and every worker process has a standing lease."""
        wait_until(lambda: all(server.is_ready() for server in self.servers), timeout)
        wait_until(lambda: self.leases() >= len(self.workers), timeout)

    def leases(self) -> int:
        """Count the workers whose lease stands and that would take jobs."""
        seconds, _ = self.direct.time()
        standing = self.direct.zrangebyscore(self.keys("workers"), int(seconds) * 1000, "+inf")
        fields = [self.direct.hmget(self.keys("worker", each.decode()), "lost", "draining") for each in standing]
        return sum(found == [None, None] for found in fields)

    @contextmanager
    def load(self) -> Iterator[None]:
        """Let clients submit jobs while the body runs."""
        self._rounds += 1
        urls = [each.url for each in self.servers]

        def make(number: int) -> Client:
            return Client(urls, self.history, f"{self._seed}.{self._rounds}-{number}", self.setup.wish)

        with clients_at_work(make, self.setup.clients):
            yield

    def completed(self) -> int:
        """Count the jobs that have completed."""
        counts = self.direct.hgetall(self.keys("counts"))
        return sum(int(n) for name, n in counts.items() if name.startswith(b"completed:"))

    def losses(self) -> int:
        """Count how often a job has lost its worker."""
        counts = self.direct.hgetall(self.keys("counts"))
        return sum(int(n) for name, n in counts.items() if name.startswith(b"lost:"))

    def is_settled(self) -> bool:
        """Tell whether no job waits or runs."""
        line = [self.keys("pending", job_type) for job_type in set(self.setup.wish.job_types)]
        return not self.direct.exists(*line, self.keys("scheduled"), self.keys("running"))

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until every job has ended; False if that took too long, which the checker then names."""
        deadline = time.monotonic() + (timeout or self.setup.settle_timeout)
        while not self.is_settled():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def probe(self, count: int = 5, bound: float = PENDING_BOUND) -> None:
        """Submit jobs one by one to the idle rig; each must be claimed within its bound (invariant 8)."""
        for number in range(count):
            options = {"delay": 0.3} if number == 0 else {}
            allowed = max(bound, DUE_BOUND) if options else bound
            with Lag().measured() as lag:
                job_id = self.client.submit("faults.async", **options)
                self.settle(10.0)
            if job_id:
                self.history.note(Probe(job_id, allowed, round(lag.worst, 4)))

    def read_back(self, count: int = 5) -> None:
        """Read payloads and results of some jobs over HTTP (invariant 5)."""
        acknowledged = sorted(read_history(self.history.path).acknowledged)
        for job_id in self.chance.sample(acknowledged, min(count, len(acknowledged))):
            self.client.ask("payload", job_id)
            self.client.ask("result", job_id)

    def answers(self, status: int) -> int:
        """Count the calls that were answered with a status."""
        return sum(call.status == status for call in read_history(self.history.path).calls)

    def snapshot(self) -> Snapshot:
        """Take a picture of the store."""
        return take_snapshot(self.store.url, NAMESPACE, self.store.data_dir)

    def check(self) -> tuple[Totals, list[Violation]]:
        """Check everything that has happened so far."""
        history, journal = read_history(self.history.path), read_journal(self.journal)
        snapshot = self.snapshot()
        acknowledged = history.acknowledged
        final = {
            id_ for id_, fields in snapshot.jobs.items() if fields.get("state") in {"completed", "failed", "cancelled"}
        }
        totals = Totals(len(acknowledged), len(final & acknowledged.keys()), journal.extra_runs, snapshot.refused)
        return totals, check(history, journal, snapshot)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of 8 MB, for root only."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
