"""Write what was measured as tables: on the terminal, and as benchmarks/RESULTS.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap

from benchmarks.contestants import Contestant
from benchmarks.figures import Figure, Round, median, ratio, spread
from benchmarks.goals import AtLeast, Judged, Rule
from benchmarks.machine import Machine

_COLUMNS = (
    ("drain", "drain, 1 worker", "{:,.0f}"),
    ("drain_two", "2 workers", "{:,.0f}"),
    ("drain_commands", "commands / job", "{:.1f}"),
    ("drain_reads", "reads / job", "{:.2f}"),
    ("drain_worker_us", "worker us / job", "{:,.0f}"),
    ("drain_store_us", "store us / job", "{:,.0f}"),
    ("submit_one", "submit one by one", "{:,.0f}"),
    ("submit_at_once", "50 at once", "{:,.0f}"),
    ("submit_bulk", "bulk", "{:,.0f}"),
    ("latency_p50", "latency p50 ms", "{:.2f}"),
    ("latency_p99", "p99", "{:.1f}"),
    ("latency_max", "max", "{:.0f}"),
    ("waiting_bytes", "bytes / waiting job", "{:,.0f}"),
    ("idle_commands", "idle commands/s sent", "{:.1f}"),
    ("idle_commands_inside", "with scripts' own", "{:.1f}"),
    ("idle_cpu_percent", "idle CPU %", "{:.2f}"),
    ("worker_mib", "worker MiB", "{:.0f}"),
)
_OTHERS = (
    ("HTTP submit, requests/s", "emp", "http", "{:,.0f}"),
    ("HTTP submit, p99 ms", "emp", "http_p99_ms", "{:.1f}"),
    ("HTTP submit, server us per request", "emp", "http_server_us", "{:.0f}"),
    ("bare ASGI, requests/s", "asgi", "http", "{:,.0f}"),
    ("FastAPI with one store call, requests/s", "fastapi", "http", "{:,.0f}"),
    ("single round trips per second on one connection", "bare", "round_trips", "{:,.0f}"),
    ("drain with 1,000 waiting", "emp", "depth_1000", "{:,.0f}"),
    ("drain with 100,000 waiting", "emp", "depth_100000", "{:,.0f}"),
    ("drain with 1,000,000 waiting", "emp", "depth_1000000", "{:,.0f}"),
    ("submit and wait for the result over HTTP, p50 ms", "emp", "wait_p50", "{:.1f}"),
    ("the same, p99 ms", "emp", "wait_p99", "{:.1f}"),
    ("an event at 1,000 SSE listeners, p50 ms", "emp", "fan_out_p50", "{:.0f}"),
    ("the same, last listener, ms", "emp", "fan_out_max", "{:.0f}"),
    ("server with 1,000 listeners, MiB", "emp", "fan_out_server_mib", "{:.0f}"),
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table whose columns line up."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def goals_table(judged: Sequence[Judged]) -> str:
    """Write the goals with what was reached."""
    rows = [
        (
            each.goal.title,
            " or ".join(map(_bound, each.goal.rules)),
            " / ".join(_shown("{:,.2f}", value) for value in each.reached),
            str(each.verdict),
        )
        for each in judged
    ]
    return table(("measure", "reach", "reached", "verdict"), rows)


def _bound(rule: Rule) -> str:
    return f"{'>=' if isinstance(rule, AtLeast) else '<='} {rule.bound:g}"


def _shown(form: str, value: float | None) -> str:
    return "-" if value is None else form.format(value)


def contestants_table(rounds: Sequence[Round], contestants: Mapping[str, Contestant]) -> str:
    """Write what was measured of everybody, the fastest first."""
    there = [each for each in contestants.values() if median(rounds, Figure(each.name, "drain")) is not None]
    there.sort(key=lambda each: -(median(rounds, Figure(each.name, "drain")) or 0))
    rows = []
    for each in there:
        behind = ratio(rounds, Figure(each.name, "drain"), Figure("saq", "drain"))
        figures = [_shown(form, median(rounds, Figure(each.name, what))) for what, _, form in _COLUMNS]
        rows.append((each.title, _shown("{:.1f}", behind), *figures))
    return table(("", "drain x SAQ", *(title for _, title, _ in _COLUMNS)), rows)


def others_table(rounds: Sequence[Round]) -> str:
    """Write what was measured of EMP alone, and of the servers that it is compared with."""
    rows = [
        (title, form.format(value))
        for title, who, what, form in _OTHERS
        if (value := median(rounds, Figure(who, what))) is not None
    ]
    return table(("measure", "median"), rows)


def noise(rounds: Sequence[Round], contestants: Mapping[str, Contestant]) -> str:
    """Say how far the rounds were apart."""
    spreads = {each.title: spread(rounds, Figure(each.name, "drain")) for each in contestants.values()}
    said = starmap("{} {:.0%}".format, ((who, value) for who, value in spreads.items() if value is not None))
    return "Drain, (largest - smallest) / median over the rounds: " + (", ".join(said) or "one round only") + "."


def results_page(
    rounds: Sequence[Round],
    judged: Sequence[Judged],
    contestants: Mapping[str, Contestant],
    machine: Machine,
    absent: Mapping[str, str],
) -> str:
    """Write benchmarks/RESULTS.md."""
    versions = [
        (each.title, " ".join(each.requires or each.node) or "this checkout", each.settings)
        for each in contestants.values()
    ]
    missing = "\n".join(f"- {name}: {why.splitlines()[0]}" for name, why in absent.items())
    return f"""# What was measured

Made by `make bench`; do not edit. {machine.told()} {len(rounds)} interleaved rounds; the table gives medians,
the goals medians of ratios within a round. {noise(rounds, contestants)}

## Goals

{goals_table(judged)}

## Everybody

One no-op job with a 200-byte payload. Jobs per second unless said. `commands` are what the store carried out per job,
those inside scripts included; `reads` its socket reads, which is how well round trips are shared. CPU is that of the
whole process tree.

{contestants_table(rounds, contestants)}

## EMP alone

{others_table(rounds)}

## Versions and settings

{table(("", "versions", "settings"), versions)}

{"## Not measured" + chr(10) * 2 + missing + chr(10) if missing else ""}"""
