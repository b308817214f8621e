"""What happens to workers: killed at every point of a job's life, frozen, cut off in a claim, told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from faults.clients import Lag
from faults.fault import Effect, look_for
from faults.history import Took
from faults.proxy import Line, Trap
from faults.rig import PENDING_BOUND, Rig
from faults.units import Worker

TRAP_TIMEOUT: Final = 10.0
RECOVERY_BOUND: Final = 1.0
"""Seconds until the jobs of a killed worker wait again, where its supervisor lives."""
CLAIM_BOUND: Final = 1.0
"""Seconds until the jobs of a claim whose answer was lost have begun."""
MACHINE_BOUND: Final = 16.0
"""The same where the supervisor died, too: a lease and a second."""


FROZEN_BOUND: Final = 25.0
"""Seconds in which a frozen worker process is replaced: a lease, a look of its supervisor, and a start."""


def has_jobs(data: bytes) -> bool:
    """Tell whether these bytes are the answer to a claim that took jobs: a payload is in it."""
    return b'"cargo"' in data


def calls(rig: Rig, verb: str) -> Callable[[bytes], bool]:
    """Give what tells whether bytes call a verb's script."""
    name = rig.script_names[verb].encode()
    return lambda data: name in data


@contextmanager
def at_point(
    worker: Worker, direction: str, matches: Callable[[bytes], bool], act: Callable[[], bool]
) -> Iterator[Effect]:
    """Do something when the worker's line carries what is waited for."""
    effect, sprung = Effect(), threading.Event()

    def spring() -> bool:
        passes = act()
        sprung.set()
        return passes

    worker.line.catch(Trap(direction, matches, spring))
    yield effect
    effect.seen(sprung.wait(TRAP_TIMEOUT) and "the line carried it, and the trap was sprung")
    worker.line.heal()


def _killing(rig: Rig, worker: Worker) -> Callable[[], bool]:
    def kill() -> bool:
        worker.send(signal.SIGKILL)
        return False

    return kill


@contextmanager
def killed_at(rig: Rig, direction: str, matches: Callable[[bytes], bool]) -> Iterator[Effect]:
    """Kill -9 a worker when its line carries something, which then never arrives."""
    worker = rig.chance.choice(rig.workers)
    pid = worker.pid()
    with at_point(worker, direction, matches, _killing(rig, worker)) as effect:
        yield effect
    if effect.evidence:
        effect.evidence = f"process {pid} was killed and replaced" if look_for(worker.is_replaced(pid), 10) else ""


def between_claim_and_start(rig: Rig) -> AbstractContextManager[Effect]:
    """Kill -9 a worker when a claim's answer is on the way to it."""
    return killed_at(rig, "down", has_jobs)


def between_handler_and_finish(rig: Rig) -> AbstractContextManager[Effect]:
    """Kill -9 a worker when its handler has returned and the store does not know yet."""
    return killed_at(rig, "up", calls(rig, "complete"))


@contextmanager
def after_finish(rig: Rig) -> Iterator[Effect]:
    """Kill -9 a worker when the store has its finish and the answer is on the way."""
    worker = rig.chance.choice(rig.workers)
    pid = worker.pid()

    def wait_for_answer() -> bool:
        worker.line.catch(Trap("down", lambda _: True, _killing(rig, worker)))
        return True

    with at_point(worker, "up", calls(rig, "complete"), wait_for_answer) as effect:
        yield effect
        effect.seen(look_for(worker.is_replaced(pid), TRAP_TIMEOUT))
    effect.evidence = f"process {pid} was killed and replaced" if worker.is_replaced(pid)() else ""


@contextmanager
def claim_answer_cut(rig: Rig) -> Iterator[Effect]:
    """Reset the connection on which the answer to a claim comes: the store has given jobs, the worker knows of none."""
    with at_point(rig.chance.choice(rig.workers), "down", _has_async_jobs, lambda: False) as effect:
        yield effect
    with Lag().measured() as lag:
        began, waiting = time.monotonic(), _claimed(rig)
        look_for(lambda: not (waiting & _claimed(rig)), 20)
        seconds = time.monotonic() - began
    rig.history.note(Took("start of what a cut claim took", round(seconds, 3), CLAIM_BOUND, round(lag.worst, 4)))


def _has_async_jobs(data: bytes) -> bool:
    """Tell whether an answer to a claim gives jobs that begin at once: those of a process wait until it has started."""
    return has_jobs(data) and b"\x1ffaults.async\x1f" in data


def _claimed(rig: Rig) -> set[tuple[bytes, bytes]]:
    """Give the jobs that are claimed and not begun, with their tokens; none of those that a process performs."""
    ids = rig.direct.zrange(rig.keys("running"), 0, -1)
    fields = [rig.direct.hmget(rig.keys("job", each.decode()), "state", "token", "type") for each in ids]
    return {
        (id_, token)
        for id_, (state, token, job_type) in zip(ids, fields, strict=True)
        if state == b"claimed" and not job_type.endswith(b"process")
    }


@contextmanager
def store_frozen_in_claim(rig: Rig) -> Iterator[Effect]:
    """Freeze the store when a claim is on its way, for longer than the worker waits: it is carried out at the thaw."""

    def freeze() -> bool:
        os.kill(rig.store.pid, signal.SIGSTOP)
        return True

    with at_point(rig.chance.choice(rig.workers), "up", calls(rig, "claim"), freeze) as effect:
        yield effect
        look_for(lambda: any(each.said("claim_failed") for each in rig.workers), TRAP_TIMEOUT)
        os.kill(rig.store.pid, signal.SIGCONT)
    failed = sum(each.said("claim_failed") for each in rig.workers)
    effect.evidence = f"{failed} calls were given up" if failed and effect.evidence else ""


def held_by(rig: Rig, worker: Worker, pid: int) -> str:
    """Give the id under which a process is known to the store; empty if it is not."""
    for each in rig.direct.zrange(rig.keys("workers"), 0, -1):
        info = rig.direct.hget(rig.keys("worker", each.decode()), "info") or b""
        if f'"pid":{pid}'.encode() in info.replace(b" ", b""):
            return str(each.decode())
    return ""


@contextmanager
def _recovered(rig: Rig, worker: Worker, bound: float, kill: Callable[[], object]) -> Iterator[Effect]:
    """Kill, and measure how soon the jobs that the worker held are with others."""
    pid = worker.pid()
    worker_id = look_for(lambda: held_by(rig, worker, pid), 10) or ""
    with Lag().measured() as lag:
        kill()
        began = time.monotonic()
        gone = look_for(lambda: not rig.direct.zscore(rig.keys("workers"), worker_id), bound + 20)
        seconds = time.monotonic() - began
    rig.history.note(Took(f"recovery of worker {worker_id}", round(seconds, 3), bound, round(lag.worst, 4)))
    yield Effect(f"process {pid} was killed, its jobs were back after {seconds:.2f} s" if gone and worker_id else "")


@contextmanager
def killed(rig: Rig) -> Iterator[Effect]:
    """Kill -9 a worker process; its supervisor lives."""
    worker = rig.chance.choice(rig.workers)
    with _recovered(rig, worker, RECOVERY_BOUND, lambda: worker.send(signal.SIGKILL)) as effect:
        yield effect
    rig.wait_until_whole()


@contextmanager
def killed_three_times(rig: Rig) -> Iterator[Effect]:
    """Kill -9 a worker process each time when it performs some of its jobs and the others wait for a child."""
    (worker,) = rig.workers
    jobs = [rig.client.submit("faults.async", 1.0, max_attempts=9) or "" for _ in range(20)]
    seen = []
    for _ in range(3):
        seen.append(look_for(lambda: _begun_and_waiting(rig, worker, jobs), 30))
        worker.send(signal.SIGKILL)
    yield Effect(f"{len(jobs)} jobs lost three workers, which had begun of them: {seen}" if all(seen) else "")
    rig.wait_until_whole()


def _begun_and_waiting(rig: Rig, worker: Worker, jobs: list[str]) -> int:
    """Count the jobs that a worker has begun, if it holds others that it has not."""
    pids = worker.pids()
    worker_id = held_by(rig, worker, pids[0]) if pids else ""
    held = [each.decode() for each in rig.direct.smembers(rig.keys("held", worker_id))]
    states = [rig.direct.hget(rig.keys("job", each), "state") for each in held if each in jobs]
    return states.count(b"in_progress") if len(states) > len(jobs) / 2 else 0


@contextmanager
def machine_died(rig: Rig) -> Iterator[Effect]:
    """Kill -9 a supervisor, its worker and all its children at once; started again after the takeover."""
    worker = rig.chance.choice(rig.workers)
    with _recovered(rig, worker, MACHINE_BOUND, worker.kill) as effect:
        yield effect
    worker.start()


@contextmanager
def all_machines_died(rig: Rig) -> Iterator[Effect]:
    """Kill -9 all workers with their supervisors; what comes meanwhile waits, or expires."""
    expired = rig.direct.hget(rig.keys("counts"), "failed:faults.async")
    for worker in rig.workers:
        worker.kill()
    effect = Effect()
    yield effect
    waiting = sum(rig.direct.zcard(rig.keys("pending", job_type)) for job_type in set(rig.setup.wish.job_types))
    effect.seen(
        waiting and expired != rig.direct.hget(rig.keys("counts"), "failed:faults.async") and f"{waiting} waited"
    )
    for worker in rig.workers:
        worker.start()


@contextmanager
def machine_died_beside_idle(rig: Rig) -> Iterator[Effect]:
    """Kill -9 all of a worker that holds the only job; when the job waits again the other one must take it at once."""
    job_id = rig.client.submit("faults.async", 60, work={"again_seconds": 0}) or ""
    owner = look_for(lambda: _runs_at(rig, job_id, 1), 10)
    worker = next((each for each in rig.workers if owner and held_by(rig, each, each.pid()) == owner), None)
    if worker is None:
        yield Effect()
        return
    with Lag().measured() as lag:
        worker.kill()
        look_for(lambda: not rig.direct.sismember(rig.keys("held", owner), job_id), MACHINE_BOUND + 20)
        began = time.monotonic()
        other = look_for(lambda: _runs_at(rig, job_id, 2), 20)
        seconds = time.monotonic() - began
    rig.history.note(Took(f"second claim of job {job_id}", round(seconds, 3), PENDING_BOUND, round(lag.worst, 4)))
    yield Effect(f"its job ran again {seconds:.2f} s after it was back" if other and other != owner else "")
    worker.start()


def _runs_at(rig: Rig, job_id: str, attempt: int) -> str:
    """Give the worker that has begun this attempt of a job, or an attempt after it; empty if there is none."""
    found = [each and each.decode() for each in rig.direct.hmget(rig.keys("job", job_id), "attempt", "worker")]
    return str(found[1] or "") if found[0] and int(found[0]) >= attempt else ""


@contextmanager
def stopped(rig: Rig, seconds: float, *, is_lost: bool) -> Iterator[Effect]:
    """Stop a worker and let it continue; for longer than a lease with its supervisor, which would replace it."""
    worker = rig.chance.choice(rig.workers)
    with worker.stopped(with_supervisor=is_lost) as pid:
        worker_id, lost = held_by(rig, worker, pid), worker.said("lease_lost")
        time.sleep(seconds)
    effect = Effect()
    yield effect
    if is_lost:
        effect.seen(look_for(lambda: worker.said("lease_lost") > lost, 10) and "it lost its lease and has a new one")
    else:
        effect.seen(worker_id and held_by(rig, worker, pid) == worker_id and "it kept its lease")


@contextmanager
def frozen(rig: Rig) -> Iterator[Effect]:
    """Stop a worker process for good: its supervisor replaces it."""
    worker = rig.chance.choice(rig.workers)
    pid = worker.send(signal.SIGSTOP)
    effect = Effect()
    yield effect
    replaced = look_for(worker.is_replaced(pid), FROZEN_BOUND)
    effect.seen(replaced and worker.said("worker_frozen") and f"process {pid} was frozen and replaced")


@contextmanager
def stopped_in_pop(rig: Rig) -> Iterator[Effect]:
    """Stop an idle worker that waits at the doorbell: the ring that it swallows must not hold up the others."""
    worker = rig.chance.choice(rig.workers)
    pid = worker.send(signal.SIGSTOP)
    rig.probe(4, bound=5.0)
    os.kill(pid, signal.SIGCONT)
    yield Effect(f"process {pid} was stopped while 4 jobs came")


@contextmanager
def late_finish(rig: Rig) -> Iterator[Effect]:
    """Hold a finish back until its worker's lease is over and others perform the job; then let it arrive."""
    worker = rig.chance.choice(rig.workers)
    late = threading.Event()

    def hold() -> bool:
        worker.line.set(Line(stalled=frozenset({"up", "down"})))
        return late.wait(40)

    refused = rig.snapshot().refused
    worker.line.catch(Trap("up", calls(rig, "complete"), hold))
    for _ in range(4 * len(rig.workers)):
        rig.client.submit("faults.async", 0.3, work={"again_seconds": 5})
    look_for(lambda: _second_attempts(rig), 30)
    late.set()
    worker.line.heal()
    effect = Effect()
    yield effect
    effect.seen((count := rig.snapshot().refused - refused) and f"{count} late writes were refused")


def _second_attempts(rig: Rig) -> int:
    """Count the jobs that run again now."""
    running = rig.direct.zrange(rig.keys("running"), 0, -1)
    fields = [rig.direct.hmget(rig.keys("job", each.decode()), "state", "attempt") for each in running]
    return sum(found == [b"in_progress", b"2"] for found in fields)


@contextmanager
def told_to_stop(rig: Rig, *, twice: bool = False) -> Iterator[Effect]:
    """Send SIGTERM to a supervisor; it is started again after its end."""
    worker = rig.chance.choice(rig.workers)
    worker.process.send(signal.SIGTERM)
    if twice:
        look_for(lambda: worker.said('"worker_died"') or worker.said("draining"), 0.2)
        worker.process.send(signal.SIGTERM)
    code = worker.process.wait(40)
    yield Effect(f"it ended with {code}" if code == 0 else "")
    worker.start()
