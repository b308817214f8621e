"""What the figures were measured on: the kind of machine and the versions, and nothing that names it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine, and when it was used."""

    processor: str
    cores: int
    memory_gib: int
    system: str
    python: str
    node: str
    store: str
    day: str
    load: float

    def told(self) -> str:
        """Say it in a sentence or two."""
        node = f", Node {self.node}" if self.node else ""
        return (
            f"{self.day}: {self.cores} cores ({self.processor}), {self.memory_gib} GiB, {self.system}, "
            f"Python {self.python}{node}, "
            f"{self.store} on loopback without persistence. Load of the machine before it began: {self.load:.1f}."
        )


def this_machine(store_version: str) -> Machine:
    """Look at the machine."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    node = shutil.which("node")
    return Machine(
        processor=model[0].partition(":")[2].strip() if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        node=subprocess.check_output([node, "--version"], text=True).strip().lstrip("v") if node else "",
        store=store_version,
        day=datetime.now(UTC).date().isoformat(),
        load=os.getloadavg()[0],
    )
