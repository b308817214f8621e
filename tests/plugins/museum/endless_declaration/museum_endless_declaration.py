"""Is imported, and never comes to the end of declaring its job types."""

import threading

from emp_worker import hookimpl


@hookimpl
def emp_job_types():
    threading.Event().wait()
