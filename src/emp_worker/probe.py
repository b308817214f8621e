"""Try plugins in a child process first: what ends a process, or never ends, then ends that one and not the worker.

One child loads all of them and tells on a pipe which one it has come to; normally that is all. Where it dies, the
plugin that it had come to has killed it, and a fresh child goes on with the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from emp_core.setting_names import without_credentials
from emp_worker.discovery import FoundPlugin, Phase, PluginFailure
from emp_worker.error_json import TRACEBACK_LIMIT
from emp_worker.probe_child import DONE

_MARGIN: Final = 5.0
"""Seconds that a child gets beyond the limit to end by itself."""

_log = structlog.get_logger("emp.worker")


def find_deadly(found: Sequence[FoundPlugin], limit: timedelta) -> list[PluginFailure]:
    """Give the plugins that end a process which loads them, or that take longer than `limit`, with the reason."""
    failures: list[PluginFailure] = []
    rest = list(found)
    while rest:
        end = _try_all(rest, limit.total_seconds())
        if end.is_done:
            break
        if end.reached is None:
            # Nothing is known of them then, and they may be as sound as ever.
            _log.warning("plugins_not_tried", why=end.why, output=end.output)
            break
        plugin = rest[end.reached]
        why = f"it {end.why} while it was loaded in a trial, so no worker loads it"
        failures.append(plugin.failure(end.phase, why, end.output))
        del rest[: end.reached + 1]
    return failures


@dataclass(frozen=True, slots=True)
class _End:
    """How a child ended: whether it had loaded all, else which plugin it had reached, in which phase, and why."""

    is_done: bool
    reached: int | None
    phase: Phase
    why: str
    output: str


def _try_all(plugins: Sequence[FoundPlugin], seconds: float) -> _End:
    """Let a child load the plugins, and see how far it comes."""
    trail, for_child = os.pipe()
    with os.fdopen(trail, "rb", buffering=0) as lines:
        try:
            child = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "emp_worker.probe_child", str(for_child)],
                env=without_credentials(os.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(for_child,),
                # A group of its own: Ctrl-C is ours to answer, and what plugins start ends with it.
                process_group=0,
            )
        except OSError as error:
            return _End(False, None, Phase.IMPORT, f"no child process can be started: {error}", "")
        finally:
            os.close(for_child)
        with child, ended_at_last(child):
            _give_orders(child, plugins, seconds)
            heard = _Heard()
            heard.listen(lines.fileno(), child, seconds + _MARGIN)
            if heard.is_done:
                return _End(True, None, Phase.IMPORT, "", "")
            return _End(False, heard.reached, heard.phase, _why_ended(child, heard, seconds), heard.output())


@contextlib.contextmanager
def ended_at_last(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a child that leads a process group, and all of its group, when the block is left."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _give_orders(child: subprocess.Popen[bytes], plugins: Sequence[FoundPlugin], seconds: float) -> None:
    orders = {
        "sys_path": sys.path,
        "seconds": seconds,
        "plugins": [(each.distribution, each.version, each.entry.name, each.entry.value) for each in plugins],
    }
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin:  # it is dead already; its end says why
            child.stdin.write(json.dumps(orders).encode())


def _why_ended(child: subprocess.Popen[bytes], heard: _Heard, seconds: float) -> str:
    try:
        code = child.wait(_MARGIN)
    except subprocess.TimeoutExpired:
        code = None
    # The child's clock has begun a moment before ours.
    if code is None or heard.silence() > 0.9 * seconds:
        return f"did not come to an end within {seconds:g} s"
    return how_ended(code)


def how_ended(code: int) -> str:
    """Say how a plugin's code has ended its process, by the code that the system gives."""
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        return f"ended the process with {names.get(-code, f'signal {-code}')}"
    return f"ended the process with exit code {code}"


class _Heard:
    """What a child has said: how far it has come, and what was printed there last."""

    def __init__(self) -> None:
        self.reached: int | None = None
        self.phase = Phase.IMPORT
        self.is_done = False
        self._since = time.monotonic()
        self._until = self._since
        self._trail = b""
        self._printed = b""

    def listen(self, trail: int, child: subprocess.Popen[bytes], patience: float) -> None:
        """Listen until the child has loaded all, has closed its end, or is silent for longer than `patience`."""
        with selectors.DefaultSelector() as selector:
            selector.register(trail, selectors.EVENT_READ, self._take_steps)
            if child.stdout is not None:
                selector.register(child.stdout.fileno(), selectors.EVENT_READ, self._take_output)
            while not self.is_done and trail in {key.fd for key in selector.get_map().values()}:
                left = self._since + patience - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    break
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    key.data(data)
                    if not data:
                        selector.unregister(key.fd)
        self._until = time.monotonic()
        if child.stdout is not None and not self.is_done:
            os.set_blocking(child.stdout.fileno(), False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(child.stdout.fileno(), 65536):
                    self._take_output(data)

    def silence(self) -> float:
        """Give the seconds from its last step to the end of listening."""
        return self._until - self._since

    def output(self) -> str:
        """Give the end of what it printed."""
        return self._printed.decode(errors="replace").strip()

    def _take_steps(self, data: bytes) -> None:
        if data:
            self._since = time.monotonic()
        *lines, self._trail = (self._trail + data).split(b"\n")
        for line in lines:
            if line == DONE.encode():
                self.is_done = True
            else:
                number, _, phase = line.decode().partition(" ")
                self.reached, self.phase = int(number), Phase(phase)

    def _take_output(self, data: bytes) -> None:
        self._printed = (self._printed + data)[-TRACEBACK_LIMIT:]
