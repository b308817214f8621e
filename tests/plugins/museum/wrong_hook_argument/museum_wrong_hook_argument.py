"""Asks a hook for what it does not bring."""

from emp_worker import hookimpl


@hookimpl
def emp_job_finished(job, verdict):
    pass
