"""Measure: `python -m benchmarks` (all), `python -m benchmarks --quick`. See docs/explanation/performance.md.

Exits 0 if all goals hold, 2 if one misses that gaps.toml explains, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.bench_store import BenchStore
from benchmarks.contestants import HOME, ROOT, Contestant, install, read_contestants
from benchmarks.figures import Round
from benchmarks.goals import GOALS, exit_code, judge
from benchmarks.http_measures import has_wrk
from benchmarks.machine import this_machine
from benchmarks.report import contestants_table, goals_table, noise, others_table, results_page
from benchmarks.session import FULL, QUICK, Faults, one_round


def main() -> int:
    """Measure, print, and in a full run write RESULTS.md."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    faults = Faults()
    wanted = (*plan.contestants, *plan.only_latency)
    if arguments.only:
        wanted = ("emp", *arguments.only.split(","))
    present = _present(wanted, faults)
    if not has_wrk():
        faults["HTTP"] = "wrk is not installed (Debian: apt install wrk)"
    began = time.monotonic()
    with BenchStore(HOME) as store:
        machine = this_machine(store.version)
        rounds: list[Round] = [one_round(plan, number, present, store, faults) for number in range(plan.rounds)]
    _keep(rounds)
    gaps = tomllib.loads((ROOT / "benchmarks" / "gaps.toml").read_text("utf-8"))
    judged = [judge(goal, rounds, gaps) for goal in GOALS]
    _print(rounds, present, faults)
    print(goals_table(judged), f"\n{time.monotonic() - began:.0f} seconds")
    if not arguments.quick and not arguments.only:
        (ROOT / "benchmarks" / "RESULTS.md").write_text(results_page(rounds, judged, present, machine, faults), "utf-8")
    return exit_code(judged)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure EMP beside its peers.")
    parser.add_argument("--quick", action="store_true", help="EMP, SAQ and BullMQ, in less than five minutes")
    parser.add_argument("--only", help="only these contestants besides EMP (separated by commas)")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    return parser.parse_args()


def _present(wanted: tuple[str, ...], faults: Faults) -> Mapping[str, Contestant]:
    """Install who takes part; who cannot is noted."""
    known = read_contestants()
    present = {}
    for name in wanted:
        why_not = install(known[name])
        if why_not is None:
            present[name] = known[name]
        else:
            faults[name] = why_not
    return present


def _keep(rounds: list[Round]) -> None:
    """Keep the raw values beside the venvs, for whoever wants to look closer."""
    rows = [[[*figure, value] for figure, value in each.items()] for each in rounds]
    (HOME / "rounds.json").write_text(json.dumps(rows, indent=1), "utf-8")


def _print(rounds: list[Round], present: Mapping[str, Contestant], faults: Faults) -> None:
    parts = [contestants_table(rounds, present), others_table(rounds), noise(rounds, present)]
    parts += [f"not measured: {name}: {why.splitlines()[0]}" for name, why in faults.items()]
    print("\n\n".join(parts), end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
