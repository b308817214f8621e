"""Mutants: EMP with one thing broken on purpose. The checker must find each: `make mutants`.

A mutant is a copy of `src` in which a few pieces of text are replaced. It runs under the faults that should show the
harm until a violation is found, or its rounds are over: then it has survived, and the suite cannot see what it broke.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from faults.catalog import FAULTS
from faults.facts import Violation
from faults.running import run_all

SOURCE: Final = Path(__file__).parents[2] / "src"
ROUNDS: Final = 3
"""How often the faults of a mutant are tried: chance has a part in what a fault hits."""
SETTLE_TIMEOUT: Final = 25.0
"""Seconds that a rig of a mutant gets to settle: longer than a lease and the sweep after it."""
_LUA: Final = "emp_core/store/lua"


@dataclass(frozen=True, slots=True)
class Edit:
    """Text of a file below `src` that stands there exactly once, and what stands there instead."""

    file: str
    old: str
    new: str

    def apply(self, source: Path) -> None:
        """Change a copy of `src`.

        Raises:
            ValueError: the text is not there, or more than once: the code has changed, and the mutant must follow it.
        """
        path = source / self.file
        text = path.read_text()
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.file} holds {count} times, and not once: {self.old!r}")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Mutant:
    """A deliberate break, and the faults under which it must show."""

    name: str
    faults: tuple[str, ...]
    edits: tuple[Edit, ...]


def _lua(script: str, old: str, new: str) -> Edit:
    return Edit(f"{_LUA}/{script}.lua", old, new)


MUTANTS: Final = (
    Mutant(
        "no token check",
        ("finish arrives after the lease",),
        (
            _lua("prelude", "  if job.token == token then\n", "  do\n"),
            _lua(
                "prelude", "if is_running(job) and job.worker == worker then return", "if is_running(job) then return"
            ),
        ),
    ),
    Mutant(
        "blind renewal",
        ("worker stopped for more than a lease",),
        (
            _lua("renew", "if not call('ZSCORE', T .. ':workers', worker) or call(", "if false and call("),
            _lua("claim", "if not lease or known[1] then return", "if known[1] then return"),
            _lua("claim", "if tonumber(lease) < NOW then return", "if false then return"),
        ),
    ),
    Mutant(
        "register inside renew",
        ("worker stopped for more than a lease",),
        (
            _lua("renew", "if not call('ZSCORE', T .. ':workers', worker) or call(", "if false and call("),
            _lua("renew", "'XX', int(NOW + LEASE), worker)", "int(NOW + LEASE), worker)"),
        ),
    ),
    Mutant(
        "no outage gap",
        ("store away for more than a lease",),
        (_lua("sweep", "NOW - last > tonumber(gap) then", "false then"),),
    ),
    Mutant(
        "sweep forgets an index",
        ("all workers' machines died",),
        (
            _lua(
                "expire",
                "    zrem(job.state == 'pending' and T .. ':pending:' .. job.type or T .. ':scheduled', id)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "finish leaves an index",
        ("scripts flushed",),
        (_lua("prelude", "  if job.cancel_at then call('SREM', T .. ':asked:' .. job.worker, job.id) end\n", ""),),
    ),
    Mutant(
        "double requeue",
        ("worker killed in the handler",),
        (_lua("recover", "    enter_line(job)\n", "    enter_line(job)\n    wait_until(job, NOW)\n"),),
    ),
    Mutant(
        "counter not decremented",
        ("worker killed in the handler",),
        (
            _lua(
                "recover",
                "    move(job, 'pending')\n",
                "    count('pending', job.type, 1)\n    job.state = 'pending'\n",
            ),
        ),
    ),
    Mutant(
        "expiry ignores the state",
        ("scripts flushed",),
        (
            _lua(
                "expire",
                "if not job or not (job.state == 'pending' or job.state == 'scheduled') then",
                "if not job then",
            ),
            _lua(
                "claim",
                "      zrem(T .. ':expiring', id)\n      direct('HDEL', T .. ':job:' .. id, 'expires_at')\n",
                "",
            ),
        ),
    ),
    Mutant(
        "claim without its number",
        ("answer of a claim cut",),
        (
            _lua(
                "claim", "call('HSET', worker_key, 'claim', number, 'claim_ids'", "call('HSET', worker_key, 'claim_ids'"
            ),
        ),
    ),
    Mutant(
        "ring forgotten in recover",
        ("worker's machine died beside an idle worker",),
        (_lua("recover", "    enter_line(job)\n", "    enter_line(job)\n    rings[job.type] = nil\n"),),
    ),
    Mutant(
        "token that does not rise",
        ("worker killed in the handler",),
        (_lua("claim", "'^%d+')) + 1) .. '-'", "'^%d+'))) .. '-'"),),
    ),
    Mutant(
        "submission forgets its idempotency key",
        ("answers cut after n bytes", "server killed"),
        (
            _lua(
                "submit",
                "if idem_key ~= '' then direct('SET', T .. ':idem:'",
                "if false then direct('SET', T .. ':idem:'",
            ),
        ),
    ),
    Mutant(
        "a finish is not repeated",
        ("store is a read-only replica", "store killed", "store away for more than a lease"),
        (
            Edit(
                "emp_worker/flusher.py",
                "        outcomes = self._next_outcomes()\n",
                "        outcomes = self._next_outcomes()\n        self._outcomes.clear()\n",
            ),
        ),
    ),
    Mutant(
        "format check removed",
        ("store taken over by a newer release",),
        (_lua("prelude", "FORMAT <= NEWEST_FORMAT then return nil end", "FORMAT > 0 then return nil end"),),
    ),
    Mutant(
        "loss charged to an unstarted job",
        ("worker killed three times",),
        (_lua("recover", "not is_claimed and job.place ~= 'child'", "job.place ~= 'child'"),),
    ),
    Mutant(
        "a lost worker's jobs are left",
        ("worker killed in the handler",),
        (_lua("leave", "  call('ZADD', T .. ':workers', 0, worker)\n", ""),),
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: the violation that gave it away, or None if it survived."""

    mutant: Mutant
    violation: Violation | None
    fault: str
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether what is broken was found, and nothing in what is not."""
        return (self.violation is not None) == bool(self.mutant.edits)


def changed_copy(edits: Sequence[Edit], folder: Path) -> Path:
    """Copy `src` into a folder, and change it; gives the copy.

    Raises:
        ValueError: an edit does not fit.
    """
    copy = folder / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        edit.apply(copy)
    return copy


def try_out(mutant: Mutant, folder: Path, seed: int, rounds: int = ROUNDS) -> Verdict:
    """Run a mutant under its faults until a violation is found or its rounds are over."""
    began = time.monotonic()
    source = changed_copy(mutant.edits, folder)
    chosen = [fault for fault in FAULTS if fault.name in mutant.faults]
    assert len(chosen) == len(mutant.faults), f"{mutant.name}: no such fault among {mutant.faults}"
    for number in range(rounds):
        place = folder / f"round-{number}"
        place.mkdir()
        for row in run_all(chosen, place, seed + number, source=source, settle_timeout=SETTLE_TIMEOUT):
            if row.violations:
                return Verdict(mutant, row.violations[0], row.fault, time.monotonic() - began)
    return Verdict(mutant, None, "", time.monotonic() - began)


def unchanged(mutants: Sequence[Mutant]) -> Mutant:
    """Give what changes nothing, under the faults of all: whatever is found in it is no merit of the checker."""
    return Mutant("nothing is changed", tuple({name for each in mutants for name in each.faults}), ())


def judge(mutant: Mutant, folder: Path, seed: int) -> Verdict:
    """Try a mutant out; one without edits gets one round, as nothing is to be found in it."""
    return try_out(mutant, folder, seed, ROUNDS if mutant.edits else 1)


def line_of(verdict: Verdict) -> str:
    """Give a row of the table."""
    found = verdict.violation
    what = f"killed     by {found}" if found else "survived"
    return f"{verdict.mutant.name:40} {verdict.seconds:7.1f}  {what}{f' ({verdict.fault})' if found else ''}"


@click.command()
@click.argument("words", nargs=-1)
@click.option("--seed", type=int, help="What chance follows from; a new one each time by default.")
def main(words: tuple[str, ...], seed: int | None) -> None:
    """Break EMP in one place after the other; exits 0 only if each is found, and nothing in what is not changed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = random.randrange(1 << 32) if seed is None else seed
    chosen = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    print(f"seed {seed}, {len(chosen)} mutants\n{'mutant':40} {'seconds':>7}  what became of it", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="emp-mutants-"))
    wrong = 0
    for number, mutant in enumerate((unchanged(chosen), *chosen)):
        place = folder / f"mutant-{number}"
        place.mkdir()
        verdict = judge(mutant, place, seed)
        wrong += not verdict.is_right
        print(line_of(verdict), flush=True)
    print(f"\n{wrong} of {len(chosen) + 1} are not as they must be")
    if wrong:
        print(f"histories, journals and logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
