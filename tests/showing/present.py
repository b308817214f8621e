"""Fill a running EMP with what a monitor is for: work in every state, a type that nobody serves, failures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from emp_core.client import EmpClient
from emp_core.ids import new_worker_id
from emp_core.jobs import Announcement, Backoff, JobState
from emp_core.store import open_store
from support.waiting import wait_until

PHOTOGRAPH = Path(__file__).resolve().parents[2] / "examples" / "data" / "astronaut.jpg"
RENDER = Announcement(
    job_type="report.render",
    digest="d",
    distribution="emp-plugin-report",
    version="2.3.0",
    title="Render a report",
    description="Draws the tables and charts of a report, and writes it as PDF.",
    payload_schema={
        "type": "object",
        "properties": {
            "title": {"type": "string", "description": "what stands on the first page"},
            "pages": {
                "type": "integer",
                "minimum": 1,
                "maximum": 500,
                "default": 10,
                "description": "how many at most",
            },
        },
        "required": ["title"],
    },
    examples=({"title": "November"},),
)


@dataclass(frozen=True)
class Shown:
    """The jobs whose pages are worth a picture."""

    thumbnail: str
    running: str
    failed: str


async def announce_report(redis_url: str, namespace: str) -> None:
    """Make the type known that nobody will serve."""
    async with open_store(redis_url, namespace) as store:
        await store.types.announce([RENDER])
        await store.workers.register(new_worker_id(), {
            "name": "batch-7", "host": "rack-4", "pid": 4711, "version": "0.1.0", "slots": 8, "types": {},
            "plugins": [{"distribution": "emp-plugin-report", "version": "2.3.0", "state": "failed", "phase": "import",
                         "why": "ModuleNotFoundError: No module named 'weasyprint': pip install weasyprint"}],
        })  # fmt: skip


def fill(client: EmpClient) -> Shown:
    """Submit jobs, and wait until those that are to end have."""
    photograph = base64.b64encode(PHOTOGRAPH.read_bytes()).decode()
    thumbnail = client.submit("image.thumbnail", {"image": photograph, "width": 240}, tags=["catalogue"])
    failing = {"steps": 8, "step_seconds": 0.02, "fail_attempts": 2, "seed": 4}
    failed = client.submit(
        "simulation.run", failing, max_attempts=2, backoff=Backoff(base=timedelta(seconds=0.2)), tags=["nightly"]
    )
    for seed in range(5):
        client.submit("simulation.run_blocking", {"steps": 4, "step_seconds": 0.01, "seed": seed}, tags=["nightly"])
    running = [
        client.submit("simulation.run", {"steps": 400, "step_seconds": 0.2 + seed / 10, "seed": seed}, tags=["nightly"])
        for seed in range(6)
    ]
    for number in range(14):
        client.submit(
            "report.render", {"title": f"November, part {number + 1}"}, priority=number % 3, tags=["month-end"]
        )
    for hours in range(1, 5):
        client.submit("simulation.run", {"steps": 50}, delay=hours * 3600.0, tags=["nightly"])
    called_off = client.submit("report.render", {"title": "Draft"}, delay=600.0)
    client.cancel(called_off.id, "superseded by the final report")
    for job, state in ((thumbnail, JobState.COMPLETED), (failed, JobState.FAILED), (running[0], JobState.IN_PROGRESS)):
        wait_until(lambda job=job, state=state: client.get(job.id).state is state, 30)
    wait_until(lambda: client.get(running[0].id).progress.fraction > 0.02, 30)
    return Shown(thumbnail.id, running[0].id, failed.id)
