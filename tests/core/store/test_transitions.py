"""The scripts make exactly the moves of TRANSITIONS: every verb is tried on a job in every state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import pytest

from emp_core.ids import JobId, WorkerId, new_job_id
from emp_core.jobs import TRANSITIONS, JobState, Submission
from emp_core.store import ClaimWord

from .conftest import OUTCOMES, Engine, Heard

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine]

Move = tuple[str, JobState | None, JobState | None]
VARIANTS = ("plain", "last attempt", "asked to cancel")


@dataclass
class Subject:
    """One job of a type of its own, with who last held it."""

    engine: Engine
    job_type: str
    variant: str
    job_id: JobId
    worker: WorkerId
    token: str = "0-none"  # noqa: S105 - a claim's token is no secret

    async def state(self) -> JobState | None:
        """Read where the job stands; None if it does not exist."""
        (job,) = await self.engine.store.views.get([self.job_id])
        return job.state if job else None

    async def submit(self, *, later: bool = False) -> None:
        """Submit it; the verbs under test need a job that can expire."""
        job = Submission(
            self.job_id,
            self.job_type,
            b"{}",
            delay=timedelta(minutes=1) if later else None,
            expires_in=timedelta(minutes=5),
            max_attempts=1 if self.variant == "last attempt" else 3,
        )
        await self.engine.store.jobs.submit([job])

    async def claim(self) -> None:
        """Let the worker claim it."""
        self.engine.claims += 1
        claim = await self.engine.store.jobs.claim(self.worker, self.engine.claims, {self.job_type: 1}, 1)
        assert claim.word is ClaimWord.OK
        for job in claim.jobs:
            self.token = job.token

    async def bring_to(self, state: JobState | None) -> None:
        """Bring the new job into a state, the usual way."""
        if state is not None:
            await self.submit(later=state is JobState.SCHEDULED)
        if state in {None, JobState.SCHEDULED, JobState.PENDING}:
            return
        await self.claim()
        ends = {JobState.COMPLETED: "complete", JobState.FAILED: "fail", JobState.CANCELLED: "cancel"}
        asked = self.variant == "asked to cancel" and state not in ends
        if asked or state is JobState.CANCELLED:
            await self.engine.ask_cancel(self.job_id)
        if state is not JobState.CLAIMED:
            await self.write(ends.get(state, "start"))

    async def write(self, verb: str) -> None:
        """Make one of the holder's writes."""
        await self.engine.write(verb, self.worker, self.job_id, self.token)


async def promote(subject: Subject) -> None:
    await subject.engine.pass_time(minutes=2)
    await subject.engine.store.jobs.promote()


async def expire(subject: Subject) -> None:
    await subject.engine.pass_time(minutes=10)
    await subject.engine.store.jobs.expire()


async def recover(subject: Subject) -> None:
    await subject.engine.store.workers.leave(subject.worker, "killed")
    while await subject.engine.store.jobs.recover():
        pass


async def retain(subject: Subject) -> None:
    await subject.engine.pass_time(days=8)
    while await subject.engine.store.jobs.retain():
        pass


async def claim_late(subject: Subject) -> None:
    await subject.engine.pass_time(minutes=10)
    await subject.engine.store.workers.renew(subject.worker, 0.0)
    await subject.claim()


def write(verb: str) -> Callable[[Subject], Awaitable[None]]:
    return lambda subject: subject.write(verb)


VERBS: dict[str, list[Callable[[Subject], Awaitable[None]]]] = {
    "submit": [lambda subject: subject.submit(), lambda subject: subject.submit(later=True)],
    "promote": [promote],
    "claim": [lambda subject: subject.claim(), claim_late],
    "start": [write("start")],
    "report": [write("report")],
    "save": [write("save")],
    **{verb: [write(verb)] for verb in ("complete", "fail", "retry")},
    "release": [write("release"), write("refuse")],
    "cancel": [write("cancel"), lambda subject: subject.engine.ask_cancel(subject.job_id)],
    "expire": [expire],
    "recover": [recover],
    "revive": [lambda subject: subject.engine.store.jobs.revive([subject.job_id])],
    "retain": [retain],
}

MADE_BY_ANOTHER: dict[Move, str] = {
    ("complete", JobState.CLAIMED, JobState.IN_PROGRESS): "start",
    ("claim", JobState.PENDING, JobState.FAILED): "expire",
    **{
        (verb, state, JobState.CANCELLED): "cancel"
        for verb in ("retry", "fail", "release", "recover")
        for state in (JobState.CLAIMED, JobState.IN_PROGRESS)
    },
}
"""Moves of one verb that a script makes on the way of another, as the docstring of TRANSITIONS says."""


async def moves(heard: Heard, subject: Subject, verb: str, act: Callable[[Subject], Awaitable[None]]) -> set[Move]:
    """Let a verb act, and give the moves that were announced or are seen afterwards."""
    before = await subject.state()
    await heard.messages()
    await act(subject)
    said = [JobState(message.status) for message in await heard.messages() if message.job_id == subject.job_id]
    path = [before, *said, await subject.state()]
    return {(verb, source, target) for source, target in pairwise(path) if source != target}


async def test_the_scripts_make_exactly_the_moves_of_the_table(engine: Engine) -> None:
    """No verb makes a move that is not there, and every move there is made by its verb."""
    made: set[Move] = set()

    async with engine.hear() as heard:
        for number, (state, variant) in enumerate((s, v) for s in (None, *JobState) for v in VARIANTS):
            for verb, acts in VERBS.items():
                for nth, act in enumerate(acts):
                    worker = await engine.worker()
                    subject = Subject(engine, f"test.{verb}{number}-{nth}", variant, new_job_id(), worker)
                    await subject.bring_to(state)
                    assert await subject.state() == state
                    made |= await moves(heard, subject, verb, act)

    observed = {(MADE_BY_ANOTHER.get(move, move[0]), *move[1:]) for move in made}
    table = {(move.verb, move.source, move.target) for move in TRANSITIONS}
    assert observed - table == set()
    assert table - observed == set()


def test_the_outcomes_of_this_test_are_all_there_are() -> None:
    """A new outcome must be tried here too."""
    assert set(OUTCOMES) == {"complete", "fail", "retry", "release", "refuse", "cancel"}
