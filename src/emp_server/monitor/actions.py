"""What people do to jobs, types and workers. Each act first says what it will do, with counts, and waits for a yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, assert_never

import structlog
from fastapi import Request, Response
from starlette.responses import RedirectResponse

from emp_core.errors import InvalidRequest, WorkerNotFound
from emp_core.ids import JobId, WorkerId, is_job_id
from emp_core.jobs import FINAL_STATES, RUNNING_STATES, Job, JobState
from emp_core.store import CancelAsk, CancelWord, ReviveWord
from emp_server.access import TheCaller
from emp_server.monitor.form_body import first, read_form, way_back
from emp_server.monitor.rendering import page
from emp_server.monitor.type_rows import read_recent
from emp_server.monitor.wording import plural
from emp_server.parts import Parts, TheParts

WHO: Final = "monitor"
"""Who cancelled, where nobody has to show an API key."""
LONGEST_WHY: Final = 1000

IDS_LOGGED: Final = 100
"""Of the jobs of one action; their number is logged in any case."""
_audit = structlog.get_logger("emp.audit")


class Action(StrEnum):
    """What can be done to jobs."""

    CANCEL = "cancel"
    REVIVE = "revive"


async def act_on_jobs(request: Request, parts: TheParts, caller: TheCaller) -> Response:
    """Cancel or revive the selected jobs, after a page that says how many it concerns and how."""
    form = await read_form(request, parts.settings.small_body_limit_bytes)
    try:
        action = Action(first(form, "action"))
    except ValueError:
        raise InvalidRequest("choose to cancel or to revive") from None
    job_ids = [JobId(id_) for id_ in dict.fromkeys(form.get("id", ())) if is_job_id(id_)]
    if not job_ids:
        raise InvalidRequest("no job is selected: go back and tick some")
    if len(job_ids) > parts.settings.page_limit_items:
        raise InvalidRequest(f"at most {parts.settings.page_limit_items} jobs at once")
    back = way_back(form, "/jobs")
    if first(form, "confirmed"):
        done = await _act(parts, action, job_ids, caller.called(WHO), _why(first(form, "why")))
        if len(job_ids) == 1:
            return RedirectResponse(f"/jobs/{job_ids[0]}", 303)
        return page("done.html", caller, now=await parts.store.history.now(), title="Done", done=done, back=back)
    jobs = await parts.store.views.get(job_ids)
    return page(
        "confirm.html",
        caller,
        now=await parts.store.history.now(),
        title=f"{action.capitalize()} {plural(len(job_ids), 'job')}?",
        consequences=_consequences(action, jobs),
        path="/jobs/actions",
        fields=[("action", action.value), ("back", back), *(("id", job_id) for job_id in job_ids)],
        asks_why=action is Action.CANCEL,
        label=f"{action.capitalize()} {plural(len(job_ids), 'job')}",
        back=back,
    )


def _consequences(action: Action, jobs: Sequence[Job | None]) -> list[str]:
    """Say in words what the action does to how many of the jobs."""
    states = Counter(job.state if job else None for job in jobs)
    running = sum(states[state] for state in RUNNING_STATES)
    ended = sum(states[state] for state in FINAL_STATES)
    waiting = states[JobState.PENDING] + states[JobState.SCHEDULED]
    can_run_again = states[JobState.FAILED] + states[JobState.CANCELLED]
    match action:
        case Action.CANCEL:
            told = [
                (waiting, "that waits is cancelled at once", "that wait are cancelled at once"),
                (running, "that runs is asked to stop", "that run are asked to stop"),
                (ended, "has ended and stays as it is", "have ended and stay as they are"),
            ]
        case Action.REVIVE:
            told = [
                (can_run_again, "runs again from the start", "run again from the start"),
                (waiting + running, "has not ended and goes on", "have not ended and go on"),
                (states[JobState.COMPLETED], "has completed and stays", "have completed and stay"),
            ]
        case unreachable:
            assert_never(unreachable)
    told.append((states[None], "is not kept any more", "are not kept any more"))
    return [f"{plural(count, 'job')} {one if count == 1 else many}" for count, one, many in told if count]


async def _act(parts: Parts, action: Action, job_ids: Sequence[JobId], who: str, why: str) -> list[str]:
    """Do it, and say in words what became of how many."""
    match action:
        case Action.CANCEL:
            cancelled = await parts.store.jobs.cancel([CancelAsk(job_id, who, why) for job_id in job_ids])
            words = Counter(_CANCEL_WORDS[word] for word in cancelled)
        case Action.REVIVE:
            revived = await parts.store.jobs.revive(job_ids)
            words = Counter(_REVIVE_WORDS[word] for word in revived)
        case unreachable:
            assert_never(unreachable)
    _audit.info("jobs_acted_on", action=action.value, jobs=len(job_ids), ids=list(job_ids[:IDS_LOGGED]), by=who)
    return [f"{plural(count, 'job')}: {what}" for what, count in words.items()]


_GONE: Final = "not kept any more"
_CANCEL_WORDS: Final = {
    CancelWord.CANCELLED: "cancelled",
    CancelWord.ASKED: "asked to stop",
    CancelWord.FINAL: "had ended",
    CancelWord.NOT_FOUND: _GONE,
}
_REVIVE_WORDS: Final = {
    ReviveWord.OK: "waits for a worker again",
    ReviveWord.CONFLICT: "cannot run again: not failed or cancelled",
    ReviveWord.NOT_FOUND: _GONE,
}


def _why(text: str) -> str:
    if len(text) > LONGEST_WHY or not text.isprintable():
        raise InvalidRequest(f"the reason has at most {LONGEST_WHY:,} printable characters, on one line")
    return text


async def pause_type(request: Request, parts: TheParts, caller: TheCaller, job_type: str) -> Response:
    """Let no waiting job of a type be claimed, after a page that says how many wait."""
    form = await read_form(request, parts.settings.small_body_limit_bytes)
    known = await parts.catalog.known(job_type)
    path = f"/types/{job_type}"
    if first(form, "confirmed"):
        await parts.store.types.pause(job_type)
        _audit.info("job_type_paused", job_type=job_type, by=caller.called(WHO))
        parts.catalog.forget()
        return RedirectResponse(path, 303)
    recent = await read_recent(parts)
    row = next(row for row in recent.rows if row.name == job_type)
    return page(
        "confirm.html",
        caller,
        now=recent.now,
        title=f"Pause {job_type}?",
        consequences=[
            f"{plural(row.pending, 'job')} waiting, and all that come: none is claimed until somebody resumes the type",
            f"{plural(row.running, 'job')} running: not touched",
            f"{plural(known.workers_online, 'worker')}: free for other types",
        ],
        path=f"{path}/pause",
        fields=[],
        asks_why=False,
        label="Pause it",
        back=path,
    )


async def resume_type(request: Request, parts: TheParts, caller: TheCaller, job_type: str) -> Response:
    """Let the jobs of a type be claimed again."""
    await read_form(request, parts.settings.small_body_limit_bytes)
    await parts.catalog.known(job_type)
    await parts.store.types.resume(job_type)
    _audit.info("job_type_resumed", job_type=job_type, by=caller.called(WHO))
    parts.catalog.forget()
    return RedirectResponse(f"/types/{job_type}", 303)


async def drain_worker(request: Request, parts: TheParts, caller: TheCaller, worker_id: str) -> Response:
    """Ask a worker to finish and leave, after a page that says what it holds and who else is there."""
    form = await read_form(request, parts.settings.small_body_limit_bytes)
    worker = await parts.store.workers.get(WorkerId(worker_id)) if is_job_id(worker_id) else None
    if worker is None:
        raise WorkerNotFound("there is no such worker now")
    path = f"/workers/{worker_id}"
    if first(form, "confirmed"):
        await parts.store.workers.drain(worker.worker_id)
        _audit.info("worker_asked_to_drain", worker_id=worker_id, by=caller.called(WHO))
        return RedirectResponse(path, 303)
    others = [other for other in await parts.store.workers.list() if other.worker_id != worker_id]
    serving = [other for other in others if other.status in {"idle", "busy"}]
    alone = sorted(name for name in worker.types if not any(name in other.types for other in serving))
    consequences = [
        f"{plural(worker.held, 'job')} held: it finishes them, takes no other, and leaves",
        f"{plural(len(serving), 'other worker')} online",
    ]
    if alone:
        consequences.append(f"nobody else serves {', '.join(alone[:10])}: those jobs wait until a worker does")
    return page(
        "confirm.html",
        caller,
        now=await parts.store.history.now(),
        title=f"Drain {worker.name}?",
        consequences=consequences,
        path=f"{path}/drain",
        fields=[],
        asks_why=False,
        label="Drain it",
        back=path,
    )
