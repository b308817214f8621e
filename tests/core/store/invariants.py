"""What must hold of all that is stored, whatever has happened: each id in exactly the indexes its state demands."""

from __future__ import annotations

from collections import Counter
from typing import Any

from emp_core.ids import JobId
from emp_core.jobs import FINAL_STATES, RUNNING_STATES, Job, JobState

from .conftest import Engine

LIVE_STATES = frozenset(JobState) - FINAL_STATES


async def stored_jobs(engine: Engine) -> list[Job]:
    """Read every job record that there is."""
    prefix = engine.keys("job", "")
    ids = [JobId(key.removeprefix(prefix)) for key in sorted(await engine.all_keys()) if key.startswith(prefix)]
    jobs = await engine.store.views.get(ids)
    assert None not in jobs
    return [job for job in jobs if job is not None]


def places_of(engine: Engine, job: Job) -> set[str]:
    """Give the indexes in which a job must stand."""
    key = engine.keys
    places = {key("tag", tag) for tag in job.tags}
    if job.state is JobState.PENDING:
        places.add(key("pending", job.job_type))
    elif job.state is JobState.SCHEDULED:
        places.add(key("scheduled"))
    elif job.state in RUNNING_STATES:
        assert job.worker_id is not None
        places |= {key("running"), key("held", job.worker_id)}
        if job.cancel_request:
            places.add(key("asked", job.worker_id))
    else:
        places |= {key("finished", job.state), key("finished", job.state, job.job_type), key("retained")}
    if job.expires_at and job.state not in FINAL_STATES:
        places.add(key("expiring"))
    return places


def entries(stored: dict[str, Any]) -> set[tuple[str, str]]:
    """Give every entry of every index: the key, and the id in it."""
    found = set()
    for key, value in stored.items():
        if isinstance(value, set | frozenset) and not key.endswith(":paused"):
            found |= {(key, member.decode()) for member in value}
        elif isinstance(value, list) and value and isinstance(value[0], list | tuple) and not key.endswith(":workers"):
            found |= {(key, member.decode()) for member, _ in value}
    return found


async def violations(engine: Engine) -> list[str]:
    """Compare indexes and counters with the job records; empty if all agree."""
    jobs = await stored_jobs(engine)
    stored = await engine.dump()
    wanted = {(place, str(job.job_id)) for job in jobs for place in places_of(engine, job)}
    found = entries(stored)
    said = [f"{id_} is missing in {key}" for key, id_ in sorted(wanted - found)]
    said += [f"{id_} is a stray in {key}" for key, id_ in sorted(found - wanted)]
    counted = Counter(f"{job.state}:{job.job_type}" for job in jobs if job.state in LIVE_STATES)
    counters = {
        name.decode(): int(n)
        for name, n in stored[engine.keys("counts")].items()
        if name.split(b":")[0].decode() in LIVE_STATES and int(n)
    }
    if counters != counted:
        said.append(f"counters say {counters}, a recount {dict(counted)}")
    return said
