"""Print one job: what it is in a line for each field, and where it is asked for how it failed, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from emp_core.cli.output import cell, escaped, print_fields, print_json

if TYPE_CHECKING:
    from emp_core.client import AttemptView, JobView


def print_job(job: JobView, *, as_json: bool, whole: bool = False) -> None:
    """Print a job and, of an error, the places in the payload; `whole` adds its attempts, its output and traceback."""
    if as_json:
        print_json(job.model_dump(mode="json"))
        return
    fields = job.model_dump(exclude={"urls", "attempts", "progress"})
    progress = f"{job.progress.fraction:.0%} {job.progress.message}".strip()
    attempts = {f"attempt {each.number}": _attempt(each) for each in job.attempts} if whole else {}
    print_fields({**fields, "state": job.state.value, "progress": progress, "error": error_line(job.error), **attempts})
    for line in (*_places(job.error), *(_details(job.error) if whole else ())):
        click.echo(escaped(line))


def error_line(error: Any) -> str:
    """Say in a line what an attempt ended with; nothing where there is no error."""
    if not isinstance(error, Mapping):
        return "" if error is None else cell(error)
    code = f" [{error['code']}]" if error.get("code") else ""
    return f"{error.get('kind', 'error')}: {error.get('message', '')}{code}"


def _attempt(attempt: AttemptView) -> str:
    said = [cell(attempt.ended_at), attempt.outcome, attempt.reason or "", error_line(attempt.error)]
    return ", ".join(each for each in said if each)


def _places(error: Any) -> Iterator[str]:
    """Give a line for each place in the payload that an error names."""
    for fault in (isinstance(error, Mapping) and error.get("errors")) or ():
        yield f"  {fault.get('pointer') or '(the whole payload)'}: {fault.get('message', '')}"


def _details(error: Any) -> Iterator[str]:
    """Give the lines of what an error holds of its attempt's course."""
    if not isinstance(error, Mapping):
        return
    for title in ("output", "traceback"):
        lines = error.get(title) or ()
        if lines:
            yield ""
            yield f"{title}:"
            yield from lines.splitlines() if isinstance(lines, str) else map(str, lines)
