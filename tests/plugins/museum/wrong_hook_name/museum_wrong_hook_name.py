"""Hooks what EMP does not have."""

from emp_worker import hookimpl


@hookimpl
def emp_job_typos():
    return []
