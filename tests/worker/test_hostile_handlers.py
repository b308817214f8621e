"""Whatever a handler does costs its own job only: each hostile handler in each mode, and how its job ends.

The handlers are in `support/hostile_modes.py` and `support/hostile_handlers.py`. Every row runs in a real worker, with
a neighbour that runs before, during and after it, and one more job in the same mode, which has a single free slot.
"""

from __future__ import annotations

import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from emp_core.ids import JobId
from emp_core.jobs import JobDetails, JobState, Reason, TroubleWord
from emp_core.store import CancelAsk, open_store
from emp_core.store.embedded import EmbeddedStore
from support.bench import Bench
from support.pace import allowed
from support.processes import StartedProcess, is_alive
from support.scratch_plugins import install
from support.waiting import wait_until_async

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

EMP = str(Path(sys.executable).with_name("emp"))
SUPPORT = Path(__file__).parents[1] / "support"
DONE = (JobState.COMPLETED, None)
ERROR = (JobState.FAILED, Reason.ERROR)
TIMEOUT = (JobState.FAILED, Reason.TIMEOUT)
REFUSED = (JobState.FAILED, Reason.INVALID_RESULT)
TOO_LARGE = (JobState.FAILED, Reason.RESULT_TOO_LARGE)
STUCK = (JobState.IN_PROGRESS, None)
"""It goes on, and is shown as such."""


@dataclass(frozen=True)
class Row:
    """A handler, where it runs, how its job ends, and after how many starts; two are allowed."""

    handler: str
    mode: str
    end: tuple[JobState, Reason | None]
    starts: int
    ends_worker: bool = False
    own_worker: bool = False
    timeout: float | None = None
    size: int = 0


def row(handler: str, mode: str, end: tuple[JobState, Reason | None], starts: int, **more: object) -> object:
    """Make one line of the table."""
    made = Row(handler, mode, end, starts, **more)  # type: ignore[arg-type]  # the fields of Row
    return pytest.param(made, id=f"{handler}-{mode}")


TABLE = [
    *(row("raises_base", mode, ERROR, 2) for mode in ("async", "thread", "process")),
    *(row("interrupted", mode, ERROR, 2) for mode in ("async", "thread", "process")),
    *(row("asks_to_exit", mode, ERROR, 2) for mode in ("async", "thread", "process")),
    # The first start takes the worker down; the second is alone in a child process, and takes that down.
    row("exits", "async", ERROR, 2, ends_worker=True),
    row("exits", "thread", ERROR, 2, ends_worker=True),
    row("exits", "process", ERROR, 2),
    row("segfaults", "async", ERROR, 2, ends_worker=True),
    row("segfaults", "thread", ERROR, 2, ends_worker=True),
    row("segfaults", "process", ERROR, 2),
    row("hogs", "process", ERROR, 2, size=1024**3),
    # Without a limit it is the kernel that ends who takes too much.
    row("killed", "async", ERROR, 2, ends_worker=True),
    row("killed", "thread", ERROR, 2, ends_worker=True),
    row("killed", "process", ERROR, 2),
    row("spins", "async", TIMEOUT, 2, ends_worker=True, timeout=0.5),
    row("spins", "thread", STUCK, 1, timeout=0.5),
    row("spins", "process", TIMEOUT, 2, timeout=0.5),
    row("hopeless", "async", TIMEOUT, 2, ends_worker=True, timeout=0.5),
    row("hopeless", "thread", TIMEOUT, 2, ends_worker=True, timeout=0.5),
    row("hopeless", "process", TIMEOUT, 2, timeout=0.5),
    *(row("naps", mode, DONE, 1) for mode in ("async", "thread", "process")),
    row("swallows", "async", TIMEOUT, 2, timeout=0.3),
    row("swallows", "process", TIMEOUT, 2, timeout=0.3),
    row("never_ends", "async", STUCK, 1, timeout=0.3),
    row("never_ends", "thread", STUCK, 1, timeout=0.3),
    row("never_ends", "process", TIMEOUT, 2, timeout=0.3),
    row("leaves_threads", "async", DONE, 1, own_worker=True, size=200),
    row("leaves_threads", "thread", DONE, 1, own_worker=True, size=200),
    row("leaves_threads", "process", DONE, 1, size=200),
    *(row("leaves_processes", mode, DONE, 1) for mode in ("async", "thread", "process")),
    row("closes_output", "async", DONE, 1, own_worker=True),
    row("closes_output", "thread", DONE, 1, own_worker=True),
    row("closes_output", "process", DONE, 1),
    row("changes_signals", "async", DONE, 1, own_worker=True),
    row("changes_signals", "thread", ERROR, 2, own_worker=True),  # Python allows it in the main thread only
    row("changes_signals", "process", DONE, 1),
    row("moves", "async", DONE, 1, own_worker=True),
    row("moves", "thread", DONE, 1, own_worker=True),
    row("moves", "process", DONE, 1),
    *(row("returns_much", mode, TOO_LARGE, 1) for mode in ("async", "thread", "process")),
    *(row("returns_nothing_of_use", mode, REFUSED, 1) for mode in ("async", "thread", "process")),
    *(row("returns_another", mode, REFUSED, 1) for mode in ("async", "thread", "process")),
    *(row("returns_generator", mode, REFUSED, 1) for mode in ("async", "thread", "process")),
    *(row("recurses", mode, ERROR, 2) for mode in ("async", "thread", "process")),
]


@contextmanager
def a_worker(url: str, folder: Path, namespace: str) -> Iterator[StartedProcess]:
    """Run `emp worker` with the hostile plugins."""
    install(folder, "emp-test-hostile", (SUPPORT / "hostile_handlers.py").read_text())
    install(folder, "emp-test-modes", (SUPPORT / "hostile_modes.py").read_text())
    limits = ["--concurrency", "2", "--threads", "1", "--children", "1"]
    process = StartedProcess(
        [EMP, "worker", "--redis-url", url, "--namespace", namespace, *limits],
        log=folder / "worker.log",
        env={"PYTHONPATH": str(folder)},
        cwd=folder,
    )
    try:
        yield process
    finally:
        process.close()


@asynccontextmanager
async def a_place(url: str, namespace: str) -> AsyncIterator[Bench]:
    """Open the store of a worker that has its lease."""
    async with open_store(url, namespace) as store:
        await wait_until_async(store.workers.list, timeout=20)
        yield Bench(store, url, namespace)


@pytest.fixture(scope="module")
def shared_namespace(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one worker for all rows that leave it as it was."""
    namespace = f"t{uuid.uuid4().hex[:20]}"
    with a_worker(valkey.url, tmp_path_factory.mktemp("shared"), namespace):
        yield namespace


@pytest.fixture
async def shared_place(shared_namespace: str, redis_url: str) -> AsyncIterator[Bench]:
    """Give that worker's store."""
    async with a_place(redis_url, shared_namespace) as place:
        yield place


@pytest.fixture
def own_worker(valkey: EmbeddedStore, tmp_path: Path, namespace: str) -> Iterator[StartedProcess]:
    """Run a worker for one test."""
    with a_worker(valkey.url, tmp_path, namespace) as process:
        yield process


@pytest.fixture
async def own_place(own_worker: StartedProcess, redis_url: str, namespace: str) -> AsyncIterator[Bench]:
    """Give that worker's store."""
    async with a_place(redis_url, namespace) as place:
        yield place


@pytest.fixture
def place(case: Row, request: pytest.FixtureRequest) -> Bench:
    """Give the store of the worker that fits the row."""
    needs_own = case.ends_worker or case.own_worker or case.end is STUCK
    given: Bench = request.getfixturevalue("own_place" if needs_own else "shared_place")
    return given


async def ended(bench: Bench, case: Row, job_id: JobId) -> JobDetails:
    """Wait for a job's end, or until it is shown as one that ignores its end."""
    if case.end is not STUCK:
        return await bench.final(job_id, timeout=30)

    await is_shown_as_stuck(bench, job_id)
    details = await bench.store.views.details(job_id)
    assert details is not None
    return details


async def is_shown_as_stuck(bench: Bench, job_id: JobId) -> None:
    """Wait until a worker's status says of a job that it ignores its end."""

    async def is_shown() -> bool:
        troubles = [trouble for worker in await bench.store.workers.list() for trouble in worker.troubles]
        return any((each.job_id, each.what) == (job_id, TroubleWord.IGNORES_END) for each in troubles)

    await wait_until_async(is_shown, timeout=15)


@pytest.mark.parametrize("case", TABLE)
async def test_a_hostile_handler_costs_its_own_job_only(case: Row, place: Bench, tmp_path: Path) -> None:
    """Its job ends as the table says; its neighbour and the next job in its slot complete."""
    starts, gate = tmp_path / "starts", tmp_path / "gate"
    payload = json.dumps({"starts": str(starts), "size": case.size}).encode()
    harmless = json.dumps({"starts": str(tmp_path / "others"), "path": str(gate)}).encode()
    timeout = None if case.timeout is None else timedelta(seconds=case.timeout)
    neighbour = await place.submit(job_type="async.waits", payload=harmless)
    begun = await place.until(neighbour, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    hostile = await place.submit(
        job_type=f"{case.mode}.{case.handler}", payload=payload, timeout=timeout, max_attempts=2
    )
    done = await ended(place, case, hostile)
    next_mode = "process" if case.end is STUCK else case.mode
    after = await place.final(await place.submit(job_type=f"{next_mode}.works", payload=harmless), timeout=20)
    gate.touch()
    beside = await place.final(neighbour, timeout=20)

    assert (done.job.state, done.job.reason) == case.end
    assert (done.job.attempt, len(starts.read_text().splitlines())) == (case.starts, case.starts)
    assert (after.job.state, after.job.attempt) == (JobState.COMPLETED, 1)
    assert (beside.job.state, beside.job.losses) == (JobState.COMPLETED, int(case.ends_worker))
    (worker,) = await place.store.workers.list()
    assert (worker.worker_id != begun.worker_id) is case.ends_worker
    if case.ends_worker:
        (gone,) = await place.store.workers.gone()
        assert worker.started_at - gone.renewed_at < timedelta(seconds=allowed(2.0, starts=8))


@pytest.mark.parametrize(("mode", "handler"), [("async", "never_ends"), ("thread", "never_ends"), ("thread", "spins")])
async def test_a_handler_that_ignores_its_end_keeps_its_slot_and_is_never_shown_as_finished(
    own_place: Bench, tmp_path: Path, mode: str, handler: str
) -> None:
    """Called off, it runs on; nobody else gets its slot, and jobs elsewhere complete."""
    payload = json.dumps({"starts": str(tmp_path / "starts"), "path": str(tmp_path / "gate")}).encode()
    neighbour = await own_place.submit(job_type="async.waits", payload=payload)  # of the two slots, it has one
    stubborn = await own_place.submit(job_type=f"{mode}.{handler}", payload=payload)
    for job_id in (neighbour, stubborn):
        await own_place.until(job_id, lambda job: job.state is JobState.IN_PROGRESS, timeout=20)

    await own_place.store.jobs.cancel([CancelAsk(stubborn, "ann")])
    await is_shown_as_stuck(own_place, stubborn)
    waiting = await own_place.submit(job_type=f"{mode}.works", payload=payload)
    await own_place.final(await own_place.submit(job_type="process.works", payload=payload), timeout=20)

    assert (await own_place.job(waiting)).state is JobState.PENDING
    assert (await own_place.job(stubborn)).state is JobState.IN_PROGRESS
    assert (await own_place.job(neighbour)).state is JobState.IN_PROGRESS


async def test_processes_that_a_handler_leaves_in_a_child_end_with_its_job(shared_place: Bench, tmp_path: Path) -> None:
    """A child, its child, and one in a session of its own."""
    payload = json.dumps({"starts": str(tmp_path / "starts")}).encode()

    done = await shared_place.final(await shared_place.submit(job_type="process.leaves_processes", payload=payload))

    left = json.loads(done.result or b"")
    assert (len(left), [pid for pid in left if is_alive(pid)]) == (3, [])


@pytest.mark.parametrize("mode", ["async", "thread"])
async def test_processes_that_a_handler_leaves_in_the_worker_end_with_it(
    own_place: Bench, own_worker: StartedProcess, tmp_path: Path, mode: str
) -> None:
    """Unless they have left its process group."""
    payload = json.dumps({"starts": str(tmp_path / "starts")}).encode()
    done = await own_place.final(
        await own_place.submit(job_type=f"{mode}.leaves_processes", payload=payload), timeout=20
    )
    child, grandchild, _ = json.loads(done.result or b"")

    own_worker.send(signal.SIGTERM)
    own_worker.wait()

    assert not is_alive(child)
    assert not is_alive(grandchild)


async def test_seven_neighbours_of_a_job_that_exits_complete(
    bench: Bench,
    install_plugin: Callable[..., str],
    site: Path,
    start_worker: Callable[..., StartedProcess],
    tmp_path: Path,
) -> None:
    """Eight slots, seven simulations and a job that ends its worker: it fails, with at most three starts."""
    install_plugin("emp-test-hostile", (SUPPORT / "hostile_handlers.py").read_text())
    starts = tmp_path / "starts"
    steps = b'{"steps": 20, "step_seconds": 0.1}'
    neighbours = [await bench.submit(job_type="simulation.run", payload=steps) for _ in range(7)]
    culprit = await bench.submit(job_type="hostile.exits_in_place", payload=json.dumps({"path": str(starts)}).encode())

    start_worker("--concurrency", "8", PYTHONPATH=str(site))
    done = await bench.final(culprit, timeout=30)
    beside = [await bench.final(each, timeout=30) for each in neighbours]

    assert (done.job.state, done.job.reason) == ERROR
    assert len(starts.read_text().splitlines()) <= 3
    assert {each.job.state for each in beside} == {JobState.COMPLETED}
