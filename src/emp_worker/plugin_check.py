"""What `emp plugin check` finds: a row for each finding at the plugins and job types that a name means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emp_core.cli.output import note
from emp_core.client import EmpClient
from emp_worker.announced import check_drift
from emp_worker.contract import check_job_type, example_payloads
from emp_worker.discovery import is_named
from emp_worker.examples_apart import perform_apart
from emp_worker.findings import Finding, Verdict
from emp_worker.jobtypes import JobType
from emp_worker.loading import LoadedPlugin
from emp_worker.plugins import Plugins

COLUMNS: Final = ("plugin", "job_type", "check", "verdict", "message")

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to check beside what is declared: handlers (on `payload`, else on their examples), a server's schemas."""

    run: bool = False
    payload: bytes | None = None
    server: EmpClient | None = None


def check_plugins(plugins: Plugins, name: str | None, wanted: Wanted) -> Iterator[Row]:
    """Check what a name means: a distribution, an entry point or a job type; None means all that is installed."""
    for failure in plugins.failures:
        if name is None or is_named(failure, (name,)):
            yield _row(failure.distribution, Finding("", failure.phase.value, Verdict.FAILED, failure.why))
    for each, job_types in meant(plugins, name):
        if not job_types:
            told = "it declares no job type, so there is nothing to check"
            yield _row(each.found.distribution, Finding("", "job types", Verdict.SKIPPED, told))
        for job_type in job_types:
            yield from (_row(each.found.distribution, finding) for finding in _findings(each, job_type, wanted))


def meant(plugins: Plugins, name: str | None) -> Iterator[tuple[LoadedPlugin, Sequence[JobType]]]:
    """Give the loaded plugins that a name means, each with the job types that are meant of it."""
    for each in plugins.loaded:
        if name is None or is_named(each.found, (name,)):
            yield each, each.job_types
        elif types := [job_type for job_type in each.job_types if job_type.name == name]:
            yield each, types


def _findings(owner: LoadedPlugin, job_type: JobType, wanted: Wanted) -> Iterator[Finding]:
    yield from check_job_type(job_type)
    if wanted.run:
        payloads = example_payloads(job_type) if wanted.payload is None else {"the payload": wanted.payload}
        yield from perform_apart(owner.found, job_type, payloads, note)
    if wanted.server is not None:
        yield from check_drift(job_type, wanted.server)


def _row(distribution: str, finding: Finding) -> Row:
    found = (distribution, finding.job_type, finding.check, finding.verdict.value, finding.message)
    return dict(zip(COLUMNS, found, strict=True))
