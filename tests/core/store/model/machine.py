"""The machine that does to a store and to the model whatever can be done, in any order, and compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import Announcement, Handle, Report, Started
from emp_core.store import CancelAsk, LeaseWord, Pool, Ring
from emp_core.store.scripts import Scripts

from . import LEASE, Model, Wish
from .choices import (
    BIRTH,
    DUTIES,
    LAST_PLACE,
    MOSTLY,
    OUTCOMES,
    PLACE,
    PLACES,
    SLOTS,
    TIMES,
    TYPES,
    WISHES,
    outcome_of,
    settled,
    submission_of,
)
from .picture import INFO, PLUGIN, found, wanted, wanted_lives
from .subject import NAMESPACE, Subject


class StoreMachine(RuleBasedStateMachine):
    """One life of a store."""

    def __init__(self, url: str, scripts: Scripts) -> None:
        super().__init__()
        self.model = Model(now=BIRTH)
        self.subject = Subject(url, scripts)
        self.do = self.subject.do
        self.subject.set_clock(BIRTH)
        self.ids: list[JobId] = [JobId("unknown")]
        self.workers = [WorkerId(f"worker{n}") for n in range(3)]
        self.claims: list[tuple[WorkerId, JobId, str]] = []
        self.number = 0
        for worker in self.workers[:2]:
            self._register(worker)

    def teardown(self) -> None:
        """Close what is open."""
        self.subject.close()

    # Time and the janitor.

    @rule(milliseconds=st.sampled_from(TIMES))
    def pass_time(self, milliseconds: int) -> None:
        """Let time pass; a clock may also go back."""
        self._pass(milliseconds)

    def _pass(self, milliseconds: int) -> None:
        self.model.now += milliseconds
        self.subject.set_clock(self.model.now)

    @rule(duties=st.one_of(st.just(DUTIES), st.lists(st.sampled_from(DUTIES), max_size=1)), seconds=st.integers(0, 4))
    def sweep(self, duties: Sequence[str], seconds: int) -> None:
        """Take the janitor's turn after some seconds, and do some of its duties or all."""
        self._sweep(duties, seconds)

    def _sweep(self, duties: Sequence[str], seconds: int) -> None:
        self._pass(seconds * 1000)
        assert self.do(lambda store: store.jobs.sweep()) == self.model.sweep()
        for duty in duties:
            assert self.do(lambda store, duty=duty: getattr(store.jobs, duty)()) is False
            getattr(self.model, duty)()

    # Clients and operators.

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=3))
    def submit(self, wishes: Sequence[Wish]) -> None:
        """Submit new jobs in one call."""
        self._submit_new(wishes)

    def _submit_new(self, wishes: Sequence[Wish]) -> None:
        first = len(self.ids)
        self.ids += [JobId(f"{n:026d}") for n in range(first, first + len(wishes))]
        self._submit([replace(wish, job_id=self.ids[first + n]) for n, wish in enumerate(wishes)])

    @rule(place=PLACE, wish=WISHES)
    def submit_again(self, place: int, wish: Wish) -> None:
        """Submit under an id that may be stored already, perhaps as another job."""
        self._submit([replace(wish, job_id=self._id(place))])

    def _submit(self, wishes: Sequence[Wish]) -> None:
        # A time and a delay exclude each other.
        wishes = [replace(wish, delay=wish.delay if wish.run_at is None else None) for wish in wishes]
        answers = self.do(lambda store: store.jobs.submit([submission_of(wish) for wish in wishes]))
        assert [(answer.word, answer.job_id) for answer in answers] == self.model.submit(wishes)

    def _id(self, place: int) -> JobId:
        """Choose a job that is stored, or at the last place one that may not be."""
        known = list(self.model.jobs) if place < LAST_PLACE else self.ids
        return known[-1 - place % len(known)] if known else self.ids[0]

    @rule(places=PLACES)
    def cancel(self, places: Sequence[int]) -> None:
        """Ask to call jobs off."""
        ids = [self._id(place) for place in places]
        words = self.do(lambda store: store.jobs.cancel([CancelAsk(job_id, "tester") for job_id in ids]))
        assert words == self.model.cancel(ids)

    @rule(places=PLACES)
    def revive(self, places: Sequence[int]) -> None:
        """Let final jobs run again."""
        ids = [self._id(place) for place in places]
        assert self.do(lambda store: store.jobs.revive(ids)) == self.model.revive(ids)

    @rule(verb=st.sampled_from(["pause", "resume", "resume", "announce", "ring"]), job_type=st.sampled_from(TYPES))
    def about_a_type(self, verb: str, job_type: str) -> None:
        """Pause, resume or announce a type, or ring its bell."""
        if verb == "announce":
            self.do(lambda store: store.types.announce([Announcement(job_type, "ab", "dist", "1")]))
            self.model.announce([f"{job_type}|ab"])
        else:
            self.do(lambda store: getattr(store.jobs if verb == "ring" else store.types, verb)(job_type))
            getattr(self.model, verb)(job_type)

    # Workers and their leases.

    @rule(slot=SLOTS, verb=st.sampled_from(["register", "renew", "drains", "leave", "drain"]))
    def about_a_worker(self, slot: int, verb: str) -> None:
        """Give a worker its lease, renew it, end it, or ask the worker to end it; it may be there or not."""
        worker = self.workers[slot]
        if verb == "register":
            self._register(worker)
        elif verb == "leave":
            word = self.do(lambda store: store.workers.leave(worker, "stopped"))
            assert word == self.model.leave(worker, "stopped")
        elif verb == "drain":
            assert self.do(lambda store: store.workers.drain(worker)) == self.model.drain(worker)
        else:
            self._renew(worker, draining=verb == "drains")

    def _register(self, worker: WorkerId) -> None:
        answer = self.do(lambda store: store.workers.register(worker, INFO))
        assert (answer.word, answer.lease) == (self.model.register(worker), timedelta(milliseconds=LEASE))

    def _renew(self, worker: WorkerId, *, draining: bool = False) -> LeaseWord:
        answer = self.do(lambda store: store.workers.renew(worker, 0.0, draining=draining))
        heard = (answer.word, answer.held, answer.draining, frozenset(answer.asked))
        assert heard == self.model.renew(worker, draining=draining)
        return LeaseWord(answer.word)

    def _ready(self, slot: int) -> WorkerId:
        """Give a worker that may claim: the one of this slot, or a new one in its place."""
        known = self.model.workers.get(self.workers[slot])
        if known is None or known.draining or self._renew(self.workers[slot]) is LeaseWord.LOST:
            self.workers[slot] = WorkerId(f"worker{len(set(self.workers)) + self.number}-{slot}")
            self._register(self.workers[slot])
        return self.workers[slot]

    @rule(slot=SLOTS, job_types=st.permutations(TYPES))
    def hear(self, slot: int, job_types: Sequence[str]) -> None:
        """Wait at the doorbell for a moment."""
        ring = self.do(lambda store: store.doorbell.wait(self.workers[slot], job_types, 0.001))
        rung, job_type = self.model.hear(self.workers[slot], job_types)
        assert ring == (Ring(job_type) if rung else None)

    # Workers and jobs.

    @rule(
        slot=SLOTS,
        ready=MOSTLY,
        rooms=st.fixed_dictionaries({}, optional=dict.fromkeys(TYPES, st.integers(0, 3))),
        total=st.integers(1, 4),
        shared=st.sampled_from([None, None, 0, 1, 2]),
    )
    def claim(self, slot: int, ready: bool, rooms: dict[str, int], total: int, shared: int | None) -> None:
        """Claim under the next number; types may share a pool."""
        worker = self._ready(slot) if ready else self.workers[slot]
        self.number += 1
        pools = {} if shared is None else {name: Pool("shared", shared) for name in rooms}
        self._claim(worker, self.number, rooms or dict.fromkeys(TYPES, 2), total, pools)

    @rule(slot=SLOTS, back=st.integers(0, 1))
    def claim_again(self, slot: int, back: int) -> None:
        """Claim under a worker's last number, or a lower one."""
        worker = self.workers[slot]
        last = self.model.workers[worker].claim if worker in self.model.workers else self.number
        self._claim(worker, max(1, last - back), dict.fromkeys(TYPES, 1), 1, {})

    @rule(
        slot=SLOTS,
        wish=WISHES,
        begin=MOSTLY,
        in_child=st.booleans(),
        verb=st.sampled_from([*[None] * 4, *OUTCOMES]),
    )
    def serve(self, slot: int, wish: Wish, begin: bool, in_child: bool, verb: str | None) -> None:
        """Submit a job, let a worker begin the most urgent one, and maybe end it: most verbs need one to go on with."""
        if wish.job_type in self.model.paused:
            self.about_a_type("resume", wish.job_type)
        self._submit_new([replace(wish, run_at=None, delay=None, idem_key=None)])
        worker = self._ready(slot)
        self.number += 1
        self._claim(worker, self.number, dict.fromkeys(TYPES, 1), 1, {})
        if self.claims:
            last = self.claims[-1][1:]
            if begin:
                self._start(worker, [last], in_child)
            if verb:
                # An attempt without a stored start ended within one flush: its outcome says when it began.
                self._settle(verb, worker, [last], None if begin else 300)

    @rule(slot=SLOTS, silently=st.sampled_from([False, False, True]))
    def lose(self, slot: int, silently: bool) -> None:
        """Lose a worker: its death is reported, or nothing is heard of it for a lease. Then its jobs are taken."""
        worker = self.workers[slot]
        if not silently:
            word = self.do(lambda store: store.workers.leave(worker, "killed"))
            assert word == self.model.leave(worker, "killed")
        # Three seconds are no outage, in which nobody would be lost.
        for _ in range(6 if silently else 1):
            self._sweep(["recover"], 3)

    def _claim(self, worker: WorkerId, number: int, rooms: dict[str, int], total: int, pools: dict[str, Pool]) -> None:
        versions = dict.fromkeys(rooms, PLUGIN)
        answer = self.do(lambda store: store.jobs.claim(worker, number, rooms, total, pools, versions))
        word, jobs = self.model.claim(worker, number, rooms, total, pools)
        assert (answer.word, [job.job_id for job in answer.jobs]) == (word, [job.job_id for job in jobs])
        for given, job in zip(answer.jobs, jobs, strict=True):
            assert int(given.token.split("-")[0]) == job.serial
            assert (given.payload, given.attempt, given.losses) == (job.payload, job.attempt, job.losses)
            assert (given.handle, given.is_suspect) == (job.handle, job.is_suspect)
            if (worker, job.job_id, given.token) not in self.claims:
                # The part after the serial is random, so the model learns it here; no job gets a token twice.
                assert (job.job_id, given.token) not in {claim[1:] for claim in self.claims}
                job.token = given.token
                self.claims.append((worker, job.job_id, given.token))

    @precondition(lambda self: self.claims)
    @rule(places=PLACES, valid=MOSTLY, slot=SLOTS, in_child=st.booleans())
    def start(self, places: Sequence[int], valid: bool, slot: int, in_child: bool) -> None:
        """Say that handlers begin, in the worker's process or in a child."""
        worker, claims = self._chosen(places, valid, slot)
        self._start(worker, claims, in_child)

    def _start(self, worker: WorkerId, claims: Sequence[tuple[JobId, str]], in_child: bool) -> None:
        words = self.do(
            lambda store: store.jobs.start(worker, [Started(*claim, in_child=in_child) for claim in claims])
        )
        assert words == [self.model.start(worker, *claim, in_child) for claim in claims]

    @precondition(lambda self: self.claims)
    @rule(
        places=PLACES,
        valid=MOSTLY,
        slot=SLOTS,
        said=st.tuples(st.sampled_from([None, 0.0, 0.5]), st.sampled_from([None, "", "half"])),
        log=st.lists(st.sampled_from([b'{"n":1}', b'{"n":2}']), max_size=3),
        log_from=st.integers(0, 2),
    )
    def report(self, places: Sequence[int], valid: bool, slot: int, said: Any, log: list[bytes], log_from: int) -> None:
        """Report progress and log lines, new or repeated ones."""
        worker, claims = self._chosen(places, valid, slot)
        reports = [Report(*claim, *said, tuple(log), log_from) for claim in claims]
        words = self.do(lambda store: store.jobs.report(worker, reports))
        assert words == [self.model.report(worker, *claim, *said, log, log_from) for claim in claims]

    @precondition(lambda self: self.claims)
    @rule(places=PLACES, valid=MOSTLY, slot=SLOTS, handle=st.sampled_from([b"", b'{"id":1}', b"2"]))
    def save(self, places: Sequence[int], valid: bool, slot: int, handle: bytes) -> None:
        """Keep handles for later attempts."""
        worker, claims = self._chosen(places, valid, slot)
        words = self.do(lambda store: store.jobs.save(worker, [Handle(*claim, handle) for claim in claims]))
        assert words == [self.model.save(worker, *claim, handle) for claim in claims]

    @precondition(lambda self: self.claims)
    @rule(
        verb=st.sampled_from(OUTCOMES),
        places=PLACES,
        valid=MOSTLY,
        slot=SLOTS,
    )
    def settle(self, verb: str, places: Sequence[int], valid: bool, slot: int) -> None:
        """End attempts: those of claims that stand, or of old ones, or of another worker's."""
        self._settle(verb, *self._chosen(places, valid, slot), None)

    def _settle(self, verb: str, worker: WorkerId, claims: Sequence[tuple[JobId, str]], begun: int | None) -> None:
        ago = {} if begun is None else {job_id: begun for job_id, _ in claims}
        words = self.do(lambda store: store.jobs.settle(worker, [outcome_of(verb, *claim) for claim in claims], ago))
        assert words == [settled(self.model, verb, worker, *claim, begun) for claim in claims]

    def _chosen(self, places: Sequence[int], valid: bool, slot: int) -> tuple[WorkerId, list[tuple[JobId, str]]]:
        """Choose claims, and who writes: where they shall be valid the holder of the newest one, else anybody."""
        live = [claim for claim in self.claims if self._stands(claim)] if valid else []
        known = live or self.claims
        chosen = [known[-1 - place % len(known)] for place in places]
        return chosen[0][0] if valid else self.workers[slot], [(job_id, token) for _, job_id, token in chosen]

    def _stands(self, claim: tuple[WorkerId, JobId, str]) -> bool:
        job = self.model.jobs.get(claim[1])
        return job is not None and job.is_running and job.token == claim[2]

    # What must hold after every step.

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        """Compare all keys with what follows from the model: records, tokens, indexes, counters, times to live."""
        stands, lives = found(self.subject.raw, NAMESPACE)
        must = wanted(self.model)
        keys = must.keys() | stands.keys()
        differences = {key: (must.get(key), stands.get(key)) for key in keys if must.get(key) != stands.get(key)}
        assert differences == {}, "key: (by the model, in the store)"
        assert lives == wanted_lives(self.model)

    @invariant()
    def every_move_is_announced_once(self) -> None:
        """Compare what was published since the last step."""
        expected, self.model.updates = sorted(self.model.updates), []
        assert self.subject.updates() == expected
