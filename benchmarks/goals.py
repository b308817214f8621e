"""The figures to reach: rules over what was measured, and the exit code that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from benchmarks.figures import Figure, Round, median, ratio


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A figure, or its ratio to another within a round, must not be below a bound."""

    of: Figure
    bound: float
    to: Figure | None = None


@dataclass(frozen=True, slots=True)
class AtMost:
    """A figure, or its ratio to another within a round, must not be above a bound."""

    of: Figure
    bound: float
    to: Figure | None = None


Rule = AtLeast | AtMost


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached. It holds if one of its rules holds; `name` is what gaps.toml calls it by."""

    name: str
    title: str
    rules: tuple[Rule, ...]


class Verdict(StrEnum):
    """What became of a goal."""

    HOLDS = "holds"
    GAP = "gap"
    MISSED = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal with what was reached, one value per rule (None: not measured)."""

    goal: Goal
    reached: tuple[float | None, ...]
    verdict: Verdict


EXIT_HOLDS, EXIT_MISSED, EXIT_GAP = 0, 1, 2


def judge(goal: Goal, rounds: Sequence[Round], gaps: Mapping[str, str]) -> Judged:
    """Compare a goal with what was measured; a miss that is explained in `gaps` is a gap."""
    reached = tuple(_reached(rule, rounds) for rule in goal.rules)
    if any(_holds(rule, value) for rule, value in zip(goal.rules, reached, strict=True)):
        verdict = Verdict.HOLDS
    elif all(value is None for value in reached):
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.GAP if goal.name in gaps else Verdict.MISSED
    return Judged(goal, reached, verdict)


def _reached(rule: Rule, rounds: Sequence[Round]) -> float | None:
    return median(rounds, rule.of) if rule.to is None else ratio(rounds, rule.of, rule.to)


def _holds(rule: Rule, value: float | None) -> bool:
    if value is None:
        return False
    match rule:
        case AtLeast():
            return value >= rule.bound
        case AtMost():
            return value <= rule.bound
        case unreachable:
            assert_never(unreachable)


def exit_code(judged: Sequence[Judged]) -> int:
    """Give 1 if a goal is missed without an explanation, 2 if one is missed with one, else 0.

    What could not be measured here (no Node, no wrk) is no miss; the table says so. Nothing measured at all is one.
    """
    verdicts = {each.verdict for each in judged}
    if Verdict.MISSED in verdicts or verdicts <= {Verdict.UNKNOWN}:
        return EXIT_MISSED
    return EXIT_GAP if Verdict.GAP in verdicts else EXIT_HOLDS


def _emp(what: str) -> Figure:
    return Figure("emp", what)


def _ahead(what: str, who: str, bound: float, *, as_what: str | None = None) -> tuple[AtLeast]:
    return (AtLeast(_emp(what), bound, Figure(who, as_what or what)),)


GOALS = (
    Goal("drain-saq", "drain, one worker: x SAQ", _ahead("drain", "saq", 10)),
    Goal("drain-bullmq", "drain, one worker: x BullMQ (Node)", _ahead("drain", "bullmq", 1.7)),
    Goal("drain-bare", "drain, one worker: share of the bare protocol", _ahead("drain", "bare", 0.7)),
    Goal(
        "drain-two",
        "drain, two workers: x one, or share of both cores busy",
        (*_ahead("drain_two", "emp", 1.2, as_what="drain"), AtLeast(_emp("drain_two_busy"), 0.95)),
    ),
    Goal("submit-bullmq", "submit, 50 at once: x BullMQ (Node)", _ahead("submit_at_once", "bullmq", 1.5)),
    Goal("submit-saq", "submit, 50 at once: x SAQ", _ahead("submit_at_once", "saq", 3)),
    Goal("bulk", "submit in bulk: x single round trips", _ahead("submit_bulk", "bare", 10, as_what="round_trips")),
    Goal(
        "latency-p50",
        "idle latency, p50: x taskiq",
        (AtMost(_emp("latency_p50"), 1.0, Figure("taskiq", "latency_p50")),),
    ),
    Goal("latency-p99", "idle latency, p99 in ms", (AtMost(_emp("latency_p99"), 3.0),)),
    Goal("memory", "bytes per waiting job", (AtMost(_emp("waiting_bytes"), 560),)),
    Goal("idle-commands", "idle worker: commands sent per second", (AtMost(_emp("idle_commands"), 2.0),)),
    Goal("idle-cpu", "idle worker: percent of a core", (AtMost(_emp("idle_cpu_percent"), 0.2),)),
    Goal(
        "depth",
        "drain, deepest line: share of 1,000 waiting",
        _ahead("depth_deepest", "emp", 0.85, as_what="depth_1000"),
    ),
    Goal("http-bare", "HTTP submit: share of bare ASGI without a store", _ahead("http", "asgi", 0.6)),
    Goal("http-fastapi", "HTTP submit: x FastAPI with one store call", _ahead("http", "fastapi", 3)),
)
