"""Submit jobs to an EMP server over HTTP and follow them: `EmpClient`, and `AsyncEmpClient` for an event loop.

    with EmpClient("http://127.0.0.1:8321") as emp:
        job = emp.submit("text.wordcount", {"text": "to be or not to be"})
        print(emp.wait(job.id, timeout=30).result)

Neither looks at the environment: the URL and the key are what the caller passes in. `EmpClient.configured()` does: it
takes them from where the `emp` command finds them.
"""

from emp_core.client.asynchronous import AsyncEmpClient
from emp_core.client.blocking import EmpClient
from emp_core.client.submission import JobOptions, JobRequest, RawJson, Seconds
from emp_core.client.views import (
    AttemptView,
    JobTypeView,
    JobUpdate,
    JobView,
    LogLine,
    MinuteView,
    Progress,
    StatsView,
    TroubleView,
    WhoView,
    WorkerView,
)

__all__ = [
    "AsyncEmpClient",
    "AttemptView",
    "EmpClient",
    "JobOptions",
    "JobRequest",
    "JobTypeView",
    "JobUpdate",
    "JobView",
    "LogLine",
    "MinuteView",
    "Progress",
    "RawJson",
    "Seconds",
    "StatsView",
    "TroubleView",
    "WhoView",
    "WorkerView",
]
