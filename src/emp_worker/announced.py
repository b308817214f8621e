"""Compare a job type with what a server announces of it: would jobs that wait there still fit?"""

from __future__ import annotations

from emp_core.client import EmpClient
from emp_core.errors import UnknownJobType
from emp_worker.drift import Word, differences
from emp_worker.findings import Finding, Verdict
from emp_worker.jobtypes import JobType

CHECK = "drift"
_VERDICTS = {Word.REFUSED: Verdict.FAILED, Word.UNKNOWN: Verdict.UNKNOWN}


def check_drift(job_type: JobType, server: EmpClient) -> list[Finding]:
    """Compare the payload's schema with the newest one that the server knows: may it take the other's place?

    Raises:
        Unreachable: the server does not answer.
    """
    try:
        announced = server.job_type(job_type.name)
    except UnknownJobType:
        return [Finding(job_type.name, CHECK, Verdict.OK, "the server does not know it yet")]
    whose = f"{announced.distribution} {announced.version}".strip()
    if announced.payload_schema is None:
        return [Finding(job_type.name, CHECK, Verdict.UNKNOWN, f"cannot tell: {whose} has announced no schema")]
    found = differences(announced.payload_schema, job_type.payload_schema)
    if not found:
        return [Finding(job_type.name, CHECK, Verdict.OK, f"takes every payload that {whose} takes")]
    counts = server.stats().counts.get(job_type.name, {})
    waiting = counts.get("pending", 0) + counts.get("scheduled", 0)
    jobs = "no job waits" if not waiting else f"{waiting} job{'s' if waiting > 1 else ''} may wait with such a payload"
    return [
        Finding(job_type.name, CHECK, _VERDICTS[each.word], f"{each.told()} (against {whose}; {jobs})")
        for each in found
    ]
