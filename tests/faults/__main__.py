"""Inject every fault (or those whose names hold one of the words given) and print what came of it: `make faults`."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from faults.catalog import FAULTS, GAPS
from faults.running import Row, run_all

HEAD = (
    f"{'fault':44} {'acknowledged':>12} {'final':>6} {'extra runs':>10} {'refused':>7} {'violations':>10}"
    f" {'seconds':>7}  what was seen"
)


def line_of(row: Row) -> str:
    """Give a row of the table, and below it what is wrong."""
    totals = row.totals
    numbers = f"{totals.acknowledged:12} {totals.final:6} {totals.extra_runs:10} {totals.refused:7}"
    seen = row.evidence or "NOTHING: it did not take effect"
    lines = [f"{row.fault:44} {numbers} {len(row.violations):10} {row.seconds:7.1f}  {seen}"]
    lines += [f"    {violation}" for violation in row.violations[:20]]
    return "\n".join(lines)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--seed", type=int, help="What chance follows from; a new one each time by default.")
@click.option("--source", type=click.Path(path_type=Path), help="Run EMP from this copy of `src`.")
def main(words: tuple[str, ...], seed: int | None, source: Path | None) -> None:
    """Inject faults; exits 0 only if each took effect and nothing that is promised was violated."""
    # Ended by a signal, too, nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = random.randrange(1 << 32) if seed is None else seed
    chosen = [each for each in FAULTS if not words or any(word in each.name for word in words)]
    print(f"seed {seed}, {len(chosen)} faults\n{HEAD}", flush=True)
    began, rows, skipped = time.monotonic(), [], {each.name: why for each in chosen if (why := each.missing())}
    folder = Path(tempfile.mkdtemp(prefix="emp-faults-"))
    for row in run_all([each for each in chosen if each.name not in skipped], folder, seed, source=source):
        rows.append(row)
        print(line_of(row), flush=True)
    for name, why in (GAPS | skipped).items() if not words else skipped.items():
        print(f"{name:44} not done here: {why}")
    bad = [row.fault for row in rows if not row.is_good]
    print(f"\n{len(rows)} faults in {time.monotonic() - began:.0f} s, {len(bad)} of them with something wrong")
    if bad:
        print(f"history, journal and logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
