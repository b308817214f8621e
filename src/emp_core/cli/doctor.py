"""`emp doctor`: whether the store is well, for a person and for a monitor."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from emp_core.cli.output import json_option, note, print_json, print_table

if TYPE_CHECKING:
    from emp_core.settings import StoreSettings
    from emp_core.store.doctor import Finding

COLUMNS: Final = ("", "CHECK", "FOUND", "WHAT TO DO")


class Verdict(IntEnum):
    """How `emp doctor` ends, in the numbers that monitoring plugins use."""

    OK = 0
    WARNING = 1
    ERROR = 2


@click.command()
@json_option
@click.option("--fix", is_flag=True, help="Mend what can be mended safely, then look again.")
@click.option("--keys", type=click.IntRange(1), help="Look at no more keys than this.  [default: 1000000]")
@click.option("--redis-url", help="The store: redis://, rediss://, redis+sentinel:// or unix://.")
@click.option("--namespace", help="The part of the store to look at.")
def doctor(as_json: bool, fix: bool, keys: int | None, redis_url: str | None, namespace: str | None) -> None:
    """Examine the store: its server, its keys, and who works on it.

    Ends with 0 if all is well, 1 if somebody should look, 2 if jobs are lost or stand still, 8 if the store cannot be
    reached. --fix repairs indexes, counters and times to live by the records of the jobs, and deletes bookkeeping that
    cannot be read; it changes no record.
    """
    import asyncio

    from emp_core.settings import StoreSettings, load
    from emp_core.store.doctor import worst

    settings = load(StoreSettings, redis_url=redis_url, namespace=namespace)
    findings, mended = asyncio.run(_examine(settings, keys, fix=fix))
    verdict = worst(findings)
    if as_json:
        print_json({"verdict": verdict, "mended": mended, "findings": [_document(finding) for finding in findings]})
    else:
        print_table(COLUMNS, ((f.severity, f.check, f.detail, f.remedy) for f in findings))
        if fix:
            note(f"Mended {mended}.")
    click.get_current_context().exit(Verdict[verdict.name])


async def _examine(settings: StoreSettings, keys: int | None, *, fix: bool) -> tuple[list[Finding], int]:
    from emp_core.store import PARTITION
    from emp_core.store.doctor import KEYS_LOOKED_AT, TURNS, open_doctor

    cap = keys or KEYS_LOOKED_AT
    async with open_doctor(settings.redis_url, settings.namespace, PARTITION, cap=cap) as examiner:
        findings, mended = await examiner.examine(), 0
        for _ in range(TURNS if fix else 0):
            newly = await examiner.mend(findings)
            if not newly:
                break
            mended += newly
            findings = await examiner.examine()
        return findings, mended


def _document(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "severity": finding.severity,
        "detail": finding.detail,
        "remedy": finding.remedy,
        "fixable": len(finding.damages),
    }
