"""Who is measured: read from peers.toml, installed into a venv each, driven from inside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.bench_store import HOST, BenchStore
from benchmarks.processes import Program

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".bench"
"""Where venvs, logs and the store's folder are; nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A system with its settings, as peers.toml has it."""

    name: str
    title: str
    settings: str
    worker: tuple[str, ...]
    counts: Mapping[str, int]
    requires: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    project: bool = False
    venv: str = ""
    module: str = ""
    strands: int = 0

    @property
    def folder(self) -> Path:
        """Its venv, or for Node the folder with its packages."""
        return HOME / (self.venv or self.name)

    @property
    def adapter(self) -> list[str]:
        """The command that drives it."""
        if self.node:
            return ["node", str(ROOT / "benchmarks" / "adapters" / f"{self.name}.mjs")]
        return [self.python, "-m", self.module or f"benchmarks.adapters.{self.name}"]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def command(self, number: int, url: str) -> list[str]:
        """Give the command of its worker of this number."""
        places = {"python": self.python, "bin": str(self.folder / "bin"), "adapter": self.adapter[-1]}
        return [part.format(**places, number=number, url=url) for part in self.worker]


def read_contestants() -> dict[str, Contestant]:
    """Read peers.toml."""
    with (ROOT / "benchmarks" / "peers.toml").open("rb") as file:
        table = tomllib.load(file)
    return {name: _contestant(name, row) for name, row in table.items()}


def _contestant(name: str, row: dict[str, Any]) -> Contestant:
    lists = ("worker", "requires", "node")
    fields: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in row.items()}
    return Contestant(name=name, **fields)


def install(contestant: Contestant) -> str | None:
    """Put its packages in place unless they are; give why it cannot take part, or None."""
    done = contestant.folder / ".installed"
    wanted = json.dumps([contestant.requires, contestant.node, contestant.project])
    if contestant.venv:
        return None
    if done.exists() and done.read_text() == wanted:
        return _run(contestant, [_copying(contestant)] if contestant.project else [])
    if contestant.node and not (shutil.which("node") and shutil.which("npm")):
        return "no Node here"
    print(f"installing {contestant.title} ...", file=sys.stderr)
    contestant.folder.mkdir(parents=True, exist_ok=True)
    why_not = _run(contestant, _installing(contestant))
    if why_not is None:
        done.write_text(wanted)
    return why_not


def _run(contestant: Contestant, commands: Iterable[Sequence[str]]) -> str | None:
    for command in commands:
        ended = subprocess.run(command, cwd=contestant.folder, capture_output=True, text=True, check=False)
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:]
            return f"could not be installed: {' '.join(last)}"
    return None


def _installing(contestant: Contestant) -> Iterator[Sequence[str]]:
    if contestant.node:
        yield ["npm", "install", "--silent", "--no-save", "--prefix", ".", *contestant.node]
        return
    yield [sys.executable, "-m", "venv", str(contestant.folder)]
    pip = [contestant.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if contestant.project:
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        yield [*pip, *constraints, "hatchling", "editables", f"{ROOT}[all]"]
        yield _copying(contestant)
    else:
        yield [*pip, *contestant.requires]


def _copying(contestant: Contestant) -> Sequence[str]:
    """Give the command that installs a copy of the checkout: what is edited meanwhile must not change the measure."""
    pip = [contestant.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    how = ["--force-reinstall", "--no-deps", "--no-build-isolation"]
    return [*pip, *how, str(ROOT), str(ROOT / "benchmarks" / "plugin")]


class Driver:
    """The running adapter of a contestant; a context manager."""

    def __init__(self, contestant: Contestant, env: Mapping[str, str], log: Path) -> None:
        self._contestant = contestant
        self._env = env
        self._log = log

    def __enter__(self) -> Self:
        """Start it and wait until it has connected."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._contestant.adapter, env=dict(self._env), cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # some libraries print
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"the adapter of {self._contestant.name} ended:\n{self._log.read_text()[-2000:]}")


@dataclass(frozen=True, slots=True)
class Stage:
    """A store with the contestant that is measured on it."""

    contestant: Contestant
    store: BenchStore
    env: Mapping[str, str]

    @property
    def latencies(self) -> Path:
        """The file that handlers write latencies to."""
        return Path(self.env["BENCH_LATENCIES"])

    @property
    def logs(self) -> Path:
        """Where the logs of its processes go."""
        return HOME / "logs"

    def driver(self) -> Driver:
        """Make its driver."""
        return Driver(self.contestant, self.env, self.logs / f"{self.contestant.name}-driver.log")

    @contextmanager
    def workers(self, count: int, **extra: str) -> Iterator[list[Program]]:
        """Run workers while the body runs."""
        log = self.logs / f"{self.contestant.name}-worker.log"
        env = {**self.env, **extra}
        url = env["EMP_REDIS_URL"]
        workers = [Program(self.contestant.command(number, url), env, log) for number in range(count)]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.stop()


def stage(contestant: Contestant, store: BenchStore) -> Stage:
    """Set the environment that its processes find the store by."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "NODE_PATH": str(contestant.folder / "node_modules"),
        "NODE_ENV": "production",
        "BENCH_HOST": HOST,
        "BENCH_PORT": str(store.port),
        "BENCH_LATENCIES": str(HOME / "latencies"),
        "EMP_REDIS_URL": f"redis://{HOST}:{store.port}/0",
        "EMP_PLUGINS": "bench",
    }
    return Stage(contestant, store, env)
