"""The whole stack once, on real input: `make demo`.

Starts a store, the server and a worker as processes of their own, submits jobs over HTTP, shows how they go, and ends
with nothing left running. Exits 1 when a job did not end as it must.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from emp_core.cli.stack import Stack
from emp_core.client import EmpClient, JobRequest, JobUpdate, JobView
from emp_core.errors import EmpError, WaitTimedOut
from emp_core.jobs import Backoff, JobState
from emp_core.store.embedded import EmbeddedStore

PHOTOGRAPH: Final = Path(__file__).parent / "data" / "astronaut.jpg"
OUTPUT: Final = Path(__file__).parent.parent / "build" / "demo"
START_TIMEOUT: Final = 30.0
JOBS_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A job of the demo, and in which attempt it must complete."""

    name: str
    request: JobRequest
    attempt: int = 1


@dataclass(slots=True)
class Course:
    """What was seen of one job: its states in order, and how far it is."""

    states: list[JobState] = field(default_factory=list)
    fraction: float = 0.0

    def add(self, update: JobUpdate) -> bool:
        """Take an update in; tell whether it is worth a line of its own: a new state, or a quarter of the way."""
        changed = not self.states or self.states[-1] is not update.state
        if changed:
            self.states.append(update.state)
        before, self.fraction = self.fraction, update.progress.fraction
        return changed or int(before * 4) != int(self.fraction * 4)


def planned_jobs() -> list[Planned]:
    """Plan a thumbnail of a photograph, simulations of five priorities, and one that fails first."""
    photograph = base64.b64encode(PHOTOGRAPH.read_bytes()).decode()
    thumbnail = JobRequest("image.thumbnail", {"image": photograph, "width": 128})
    simulations = [
        Planned(
            f"simulation, priority {priority}",
            JobRequest("simulation.run", {"steps": 20, "step_seconds": 0.1, "seed": priority}, priority=priority),
        )
        for priority in (-10, 0, 1, 5, 10)
    ]
    failing = JobRequest(
        "simulation.run_blocking",
        {"steps": 10, "step_seconds": 0.05, "fail_attempts": 1, "seed": 1},
        max_attempts=3,
        backoff=Backoff(base=timedelta(seconds=0.5)),
    )
    return [Planned("thumbnail", thumbnail), *simulations, Planned("simulation that fails once", failing, attempt=2)]


def wait_for_job_types(client: EmpClient, wanted: set[str]) -> None:
    """Wait until a worker has announced the job types.

    Raises:
        WaitTimedOut: none has within START_TIMEOUT seconds.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while missing := wanted - {each.job_type for each in client.job_types() if each.workers_online}:
        if time.monotonic() > deadline:
            raise WaitTimedOut(f"no worker has announced {', '.join(sorted(missing))}")
        time.sleep(0.1)


def follow(client: EmpClient, ids: list[str]) -> Iterator[tuple[int, JobUpdate]]:
    """Give each update of each job as it comes, with the job's place in the list, until all have ended.

    Raises:
        WaitTimedOut: nothing was heard within JOBS_TIMEOUT seconds.
        EmpError: a job cannot be watched any more.
    """
    heard: SimpleQueue[tuple[int, JobUpdate | EmpError]] = SimpleQueue()

    def watch(place: int) -> None:
        try:
            for update in client.watch(ids[place]):
                heard.put((place, update))
        except EmpError as error:
            heard.put((place, error))

    running = set(range(len(ids)))
    for place in running:
        # Daemons: a job that never ends must not keep the demo from ending.
        Thread(target=watch, args=(place,), daemon=True).start()
    while running:
        try:
            place, update = heard.get(timeout=JOBS_TIMEOUT)
        except Empty:
            raise WaitTimedOut(f"no update within {JOBS_TIMEOUT:g} s; {len(running)} jobs have not ended") from None
        if isinstance(update, EmpError):
            raise update
        if update.final:
            running.discard(place)
        yield place, update


def show(console: Console, plan: list[Planned], updates: Iterator[tuple[int, JobUpdate]]) -> list[Course]:
    """Show the updates as they come: bars on a terminal, lines elsewhere. Give what was seen of each job."""
    courses = [Course() for _ in plan]
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        rows: list[TaskID] = [bars.add_task(each.name, total=1.0, state="") for each in plan]
        for place, update in updates:
            worth_a_line = courses[place].add(update)
            bars.update(rows[place], completed=update.progress.fraction, state=update.state.value)
            if worth_a_line and not console.is_terminal:
                progress = update.progress
                print(f"  {plan[place].name}: {update.state} {progress.fraction:.0%} {progress.message}".rstrip())
    return courses


def report(plan: list[Planned], jobs: list[JobView], courses: list[Course]) -> None:
    """Print a line for each final job."""
    print(f"\n{'job':<28} {'id':<26} {'state':<10} attempts seconds  states seen")
    for each, job, course in zip(plan, jobs, courses, strict=True):
        created, finished = job.created_at, job.finished_at
        took = f"{(finished - created).total_seconds():.2f}" if created and finished else "-"
        seen = " > ".join(course.states)
        print(f"{each.name:<28} {job.id:<26} {job.state:<10} {job.attempt:>8} {took:>7}  {seen}")
    print()


def wrong(plan: list[Planned], jobs: list[JobView]) -> list[str]:
    """Say of each job that did not end as planned what it did instead."""
    return [
        f"{each.name}: {job.state} in attempt {job.attempt} instead of completed in {each.attempt}: {job.error}"
        for each, job in zip(plan, jobs, strict=True)
        if job.state is not JobState.COMPLETED or job.attempt != each.attempt
    ]


def run(console: Console) -> list[str]:
    """Run the demo; give what went wrong, one line each.

    Raises:
        EmpError: the stack did not start, or a call to it failed.
    """
    plan = planned_jobs()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (
        (OUTPUT / "stack.log").open("wb") as log,
        EmbeddedStore() as store,
        Stack(store.url, "demo", output=log) as stack,
        EmpClient(stack.url) as client,
    ):
        stack.wait_until_ready(START_TIMEOUT)
        wait_for_job_types(client, {each.request.job_type for each in plan})
        print(f"server at {stack.url}, store at {store.url}, logs in {OUTPUT / 'stack.log'}")
        submitted = []
        for answer in client.submit_many(each.request for each in plan):
            if isinstance(answer, EmpError):
                raise answer
            submitted.append(answer.id)
        courses = show(console, plan, follow(client, submitted))
        jobs = [client.get(job_id) for job_id in submitted]
        report(plan, jobs, courses)
        faults = wrong(plan, jobs)
        if not faults:
            thumbnail = jobs[0].result
            target = OUTPUT / f"astronaut-{thumbnail['width']}x{thumbnail['height']}.{thumbnail['format']}"
            target.write_bytes(base64.b64decode(thumbnail["image"]))
            print(f"thumbnail: {target}")
        return faults


def main() -> None:
    """Run the demo; exit 1 with the reason when something went wrong."""
    try:
        faults = run(Console())
    except EmpError as error:
        faults = [error.detail]
    except KeyboardInterrupt:
        sys.exit("interrupted")
    if faults:
        print("\n".join(["the demo failed:", *faults, f"the logs are in {OUTPUT / 'stack.log'}"]), file=sys.stderr)
        sys.exit(1)
    print("all jobs ended as they must")


if __name__ == "__main__":
    main()
