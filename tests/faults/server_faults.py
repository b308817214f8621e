"""What happens to servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Effect
from faults.rig import Rig
from support.waiting import wait_until


@contextmanager
def killed(rig: Rig) -> Iterator[Effect]:
    """Kill -9 a server in the middle of submissions; it is started again on its port."""
    server = rig.chance.choice(rig.servers)
    server.kill()
    yield Effect(f"{server.name} was killed")
    server.start()
    wait_until(server.is_ready, 30)
