"""Each fault of the catalog, under load: it takes effect, and nothing that is promised is violated.

`make faults` runs the same list and prints a table. Here the quick ones are the selection of `make test`.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from faults import chaos
from faults.catalog import FAULTS
from faults.fault import Fault
from faults.rig import Rig, Setup
from faults.running import Row, Runner

pytestmark = pytest.mark.process

CASES = [
    pytest.param(fault, id=fault.name, marks=() if fault.quick else (pytest.mark.slow, pytest.mark.timeout(240)))
    for fault in FAULTS
]


class Rigs:
    """The rig of the test before, where the next fault can use it: starting one takes longer than most faults."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._count = 0
        self._stack = ExitStack()
        self._setup: Setup | None = None
        self._runner: Runner | None = None

    def run(self, fault: Fault) -> Row:
        """Run a fault in a rig of its kind; a rig that came out broken is not used again."""
        if self._runner is None or self._setup != fault.setup:
            self.close()
            self._count += 1
            folder = self._folder / str(self._count)
            folder.mkdir()
            rig = self._stack.enter_context(Rig(folder, fault.setup, f"{self._seed}.{self._count}"))
            self._runner, self._setup = Runner(rig), fault.setup
        runner, self._runner = self._runner, None
        row = runner.run(fault)
        if row.is_good:
            self._runner = runner
        return row

    def close(self) -> None:
        """End the rig that is there."""
        self._runner = None
        self._stack.close()


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rigs]:
    """Give a rig for each fault in turn."""
    seed = random.randrange(1 << 32)
    rigs = Rigs(tmp_path_factory.mktemp("faults"), seed)
    print(f"seed {seed}")
    yield rigs
    rigs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="faults are injected through /proc")
@pytest.mark.parametrize("fault", CASES)
def test_a_fault_takes_effect_and_violates_nothing(rigs: Rigs, fault: Fault) -> None:
    """Acknowledged jobs end once, with their own results, in time; indexes, counters and keys agree."""
    if why := fault.missing():
        pytest.skip(why)

    row = rigs.run(fault)

    assert row.evidence, "it did not take effect"
    assert row.violations == ()
    assert row.totals.acknowledged == row.totals.final > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_faults_violate_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A short chaos run; `make chaos` runs longer ones."""
    seed = random.randrange(1 << 32)
    with capsys.disabled():
        print(f"\nchaos seed {seed}", end=" ")

    wrong = chaos.run(tmp_path, 30.0, seed)

    assert wrong == []
    shutil.rmtree(tmp_path)
