"""The verbs that move jobs. Each takes a batch, calls the script of its name and answers one reply per item."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from emp_core.errors import StoreError
from emp_core.ids import JobId, WorkerId
from emp_core.jobs import (
    Cancelled,
    Completed,
    Failed,
    Handle,
    Outcome,
    Released,
    Report,
    Retry,
    Started,
    Submission,
)
from emp_core.store.batching import BYTES_PER_CALL, ITEMS_PER_CALL, Gatherer, Pipeline, split, weight
from emp_core.store.keys import Keys
from emp_core.store.records import milliseconds, read_claimed
from emp_core.store.replies import (
    CancelAsk,
    CancelWord,
    Claim,
    ClaimWord,
    Duties,
    Pool,
    Reply,
    ReviveWord,
    Submitted,
)
from emp_core.store.scripts import Arg, Scripts
from emp_core.store.submissions import SubmissionItem, read_submitted, submission_item, submission_weight

WAITING_LIMIT = 1_000_000
LOG_LINES_KEPT = 10_000
SWEPT_PER_CALL = 100
SWEEP_PAUSE = timedelta(seconds=0.9)
SWEEP_GAP = timedelta(seconds=3)

_REPLIES: Final = {reply.value.encode(): reply for reply in Reply}
"""What the scripts answer to a holder's write."""
Begun = Mapping[JobId, int]
"""How many milliseconds ago the handlers of jobs were called."""
_NONE: Begun = {}


class JobStore:
    """The jobs of one partition. Every call may raise StoreUnavailable or StoreFull; repeating it is then safe.

    Args:
        pipeline: sends what is not claimed or submitted.
        claims: sends claims, so that they and the others do not wait for each other.
        submissions: sends submissions.
        waiting_limit: how many jobs of a type may wait.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        scripts: Scripts,
        keys: Keys,
        claims: Pipeline,
        submissions: Pipeline,
        waiting_limit: int = WAITING_LIMIT,
    ) -> None:
        self._waiting_limit = waiting_limit
        self._pipeline = pipeline
        self._claims = claims
        self._submit_by = submissions
        self._scripts = scripts
        self._keys = keys
        self._submissions = Gatherer(self._submit, submission_weight)

    async def _call(self, verb: str, items: Sequence[Sequence[Arg]] = (), **arguments: Arg) -> list[Any]:
        """Run a verb's script over all items, in as many calls as their number and size ask for; replies end to end."""
        replies = await self._send_all(verb, list(split(items, weight)) if items else [()], arguments)
        return [word for reply in replies for word in (reply if isinstance(reply, list) else [reply])]

    async def _send_all(
        self, verb: str, runs: Sequence[Sequence[Sequence[Arg]]], arguments: Mapping[str, Arg]
    ) -> Sequence[Any]:
        """Run a verb's script once for each run of items; a reply for each.

        Raises:
            StoreError: one of the calls failed; the others may have run.
        """
        if len(runs) == 1:
            return [await self._send(verb, runs[0], arguments)]
        # Futures and not coroutines: gather() would start those a turn of the loop later, for another round trip.
        sent = [self._send(verb, run, arguments) for run in runs]
        replies = await asyncio.gather(*sent, return_exceptions=True)
        failed = [reply for reply in replies if isinstance(reply, BaseException)]
        if failed:
            raise _error_of_all(failed, partly=len(failed) < len(replies))
        return replies

    def _send(self, verb: str, items: Sequence[Sequence[Arg]], arguments: Mapping[str, Arg]) -> asyncio.Future[Any]:
        pipeline = self._submit_by if verb == "submit" else self._pipeline
        return pipeline.send(self._scripts[verb].command(self._keys.tag, arguments, items))

    async def _words(self, verb: str, items: Sequence[Sequence[Arg]], **arguments: Arg) -> list[str]:
        return [word.decode() for word in await self._call(verb, items, **arguments)] if items else []

    # What clients ask for.

    async def submit(self, submissions: Sequence[Submission]) -> Sequence[Submitted]:
        """Store new jobs and wake workers. Calls made in one tick of the loop, or in ticks on end, share a trip."""
        return await self.submit_soon(submissions)

    def submit_soon(self, submissions: Sequence[Submission]) -> asyncio.Future[Sequence[Submitted]]:
        """Do as `submit` does, for whoever has no task to wait in."""
        # Written before they are gathered, so that what has no UTF-8 form fails its own caller.
        return self._submissions.add([submission_item(submission) for submission in submissions])

    async def _submit(self, items: Sequence[SubmissionItem]) -> Sequence[Submitted]:
        runs = list(split(items, submission_weight))
        replies = await self._send_all("submit", runs, {"waiting_limit": self._waiting_limit})
        return [
            submitted
            for run, (at, *answers) in zip(runs, replies, strict=True)
            for submitted in read_submitted(run, at, answers)
        ]

    async def cancel(self, asks: Sequence[CancelAsk]) -> list[CancelWord]:
        """Call jobs off: at once if nobody holds them, else by asking the holder."""
        items = [(ask.job_id, "", ask.by, ask.why, "") for ask in asks]
        return [CancelWord(word) for word in await self._words("cancel", items, worker="")]

    async def revive(self, job_ids: Sequence[JobId]) -> list[ReviveWord]:
        """Let failed or cancelled jobs run again in a new round."""
        return [ReviveWord(word) for word in await self._words("revive", [(job_id,) for job_id in job_ids])]

    # What workers do.

    async def claim(
        self,
        worker: WorkerId,
        number: int,
        rooms: Mapping[str, int],
        total: int,
        pools: Mapping[str, Pool] | None = None,
        versions: Mapping[str, str] | None = None,
        byte_limit: float = BYTES_PER_CALL,
        sent: Callable[[], None] | None = None,
    ) -> Claim:
        """Take the most urgent waiting jobs of some types.

        Args:
            worker: who claims; it needs a lease.
            number: the claim's number, higher than the last answered one; the same number again gives the same jobs.
            rooms: the most jobs to take of each job type.
            total: the most jobs to take in all (at most 200 are given).
            pools: which types share a pool of slots, and its room; a type without one has a pool of its own.
            versions: of the plugins that serve the types; kept with the attempts.
            byte_limit: the most bytes of payloads to take (at most 8 MiB are given), if it is more than one job's.
            sent: called when the store has got the claim, while it works on it.
        """
        arguments: dict[str, Arg] = {
            "worker": worker,
            "number": number,
            "total": min(total, ITEMS_PER_CALL),
            "nonce": secrets.token_hex(4),
            "byte_limit": int(min(byte_limit, BYTES_PER_CALL)),
        }
        pools, versions = pools or {}, versions or {}
        items = [
            _claim_item(job_type, room, pools.get(job_type), versions.get(job_type, ""))
            for job_type, room in rooms.items()
        ]
        command = self._scripts["claim"].command(self._keys.tag, arguments, items)
        reply = await self._claims.send_alone(command, sent)
        due = int(reply[1])
        jobs = tuple(read_claimed(reply[at], reply[at + 1]) for at in range(3, len(reply), 2))
        next_due = timedelta(milliseconds=due) if due >= 0 else None
        return Claim(ClaimWord(reply[0].decode()), jobs, next_due, more=reply[2] == b"1")

    async def ring(self, job_type: str) -> None:
        """Ring a type's doorbell for another worker: whoever took a ring and has no room for the type does."""
        await self._call("ring", job_type=job_type)

    async def start(self, worker: WorkerId, started: Sequence[Started]) -> list[Reply]:
        """Move claimed jobs to in_progress."""
        items = [(job.job_id, job.token, job.begun_ago, "child" if job.in_child else "") for job in started]
        return await self._write("start", worker, items)

    async def report(self, worker: WorkerId, reports: Sequence[Report]) -> list[Reply]:
        """Keep progress, messages and log lines of running jobs."""
        items = [
            (
                report.job_id,
                report.token,
                "" if report.fraction is None else repr(report.fraction),
                "" if report.message is None else f"={report.message}",
                b"\n".join(report.log),
                report.log_from,
            )
            for report in reports
        ]
        return await self._write("report", worker, items, log_cap=LOG_LINES_KEPT)

    async def save(self, worker: WorkerId, handles: Sequence[Handle]) -> list[Reply]:
        """Keep the handles of running jobs for their later attempts."""
        return await self._write("save", worker, [(each.job_id, each.token, each.value) for each in handles])

    async def complete(self, worker: WorkerId, outcomes: Sequence[Completed], begun: Begun = _NONE) -> list[Reply]:
        """Move jobs to completed and store their results."""
        items = [(done.job_id, done.token, done.result, begun.get(done.job_id, "")) for done in outcomes]
        return await self._write("complete", worker, items)

    async def fail(self, worker: WorkerId, outcomes: Sequence[Failed], begun: Begun = _NONE) -> list[Reply]:
        """Move jobs to failed and store why."""
        items = [
            (end.job_id, end.token, end.reason, end.error, begun.get(end.job_id, ""), "1" if end.is_loss else "")
            for end in outcomes
        ]
        return await self._write("fail", worker, items)

    async def retry(self, worker: WorkerId, outcomes: Sequence[Retry], begun: Begun = _NONE) -> list[Reply]:
        """Move jobs to scheduled, to be tried again after their delays."""
        items = [
            (
                end.job_id,
                end.token,
                end.reason,
                end.error,
                milliseconds(end.delay),
                begun.get(end.job_id, ""),
                "1" if end.is_loss else "",
            )
            for end in outcomes
        ]
        return await self._write("retry", worker, items)

    async def release(self, worker: WorkerId, outcomes: Sequence[Released], begun: Begun = _NONE) -> list[Reply]:
        """Give jobs back, their attempts uncharged."""
        items = [(end.job_id, end.token, milliseconds(end.delay), begun.get(end.job_id, "")) for end in outcomes]
        return await self._write("release", worker, items)

    async def confirm_cancel(
        self, worker: WorkerId, outcomes: Sequence[Cancelled], begun: Begun = _NONE
    ) -> list[Reply]:
        """Move jobs to cancelled whose handlers have stopped on request."""
        items = [(end.job_id, end.token, "", "", begun.get(end.job_id, "")) for end in outcomes]
        return await self._write("cancel", worker, items)

    async def settle(self, worker: WorkerId, outcomes: Sequence[Outcome], begun: Begun = _NONE) -> list[Reply]:
        """Store outcomes of any kind in one round trip.

        Args:
            worker: holds the jobs.
            outcomes: how their attempts ended.
            begun: for jobs whose handler was called and whose start is not stored: how many milliseconds ago that was.
                They pass through in_progress.

        Returns:
            one reply per outcome, in order.
        """
        answers = await asyncio.gather(
            self.complete(worker, [end for end in outcomes if isinstance(end, Completed)], begun),
            self.fail(worker, [end for end in outcomes if isinstance(end, Failed)], begun),
            self.retry(worker, [end for end in outcomes if isinstance(end, Retry)], begun),
            self.release(worker, [end for end in outcomes if isinstance(end, Released)], begun),
            self.confirm_cancel(worker, [end for end in outcomes if isinstance(end, Cancelled)], begun),
        )
        kinds = (Completed, Failed, Retry, Released, Cancelled)
        replies = {kind: iter(words) for kind, words in zip(kinds, answers, strict=True)}
        return [next(replies[type(outcome)]) for outcome in outcomes]

    async def _write(
        self, verb: str, worker: WorkerId, items: Sequence[Sequence[Arg]], **arguments: Arg
    ) -> list[Reply]:
        return [_REPLIES[word] for word in await self._call(verb, items, worker=worker, **arguments)] if items else []

    # The janitor's duties, each bounded: at its limit it is called again.

    async def sweep(self) -> Duties:
        """Take a turn as the janitor, if nobody else has had one just now."""
        pause, gap = milliseconds(SWEEP_PAUSE), milliseconds(SWEEP_GAP)
        _, promote, expire, recover, retain, set_aside, repaired = await self._call("sweep", pause=pause, gap=gap)
        return Duties(bool(promote), bool(expire), bool(recover), bool(retain), set_aside, repaired)

    async def promote(self) -> bool:
        """Move due jobs into their waiting lines; True if there may be more."""
        return bool((await self._call("promote", limit=SWEPT_PER_CALL))[0] >= SWEPT_PER_CALL)

    async def expire(self) -> bool:
        """Fail jobs that waited too long; True if there may be more."""
        return bool((await self._call("expire", limit=SWEPT_PER_CALL))[0] >= SWEPT_PER_CALL)

    async def recover(self) -> bool:
        """Take jobs from lost workers; True if there may be more."""
        _, more = await self._call("recover", limit=SWEPT_PER_CALL)
        return bool(more)

    async def retain(self) -> bool:
        """Delete jobs whose retention is over; True if there may be more."""
        return bool((await self._call("retain", limit=SWEPT_PER_CALL))[0] >= SWEPT_PER_CALL)


def _error_of_all(failed: Sequence[BaseException], *, partly: bool) -> BaseException:
    """Give one error for the calls of which some have failed: if any may have run, or did, nobody knows of them all."""
    error = failed[0]
    if isinstance(error, StoreError):
        may_have_run = partly or any(not isinstance(each, StoreError) or each.may_have_run for each in failed)
        return error.of(may_have_run=may_have_run)
    return error


def _claim_item(job_type: str, room: int, pool: Pool | None, version: str) -> tuple[Arg, ...]:
    pool = pool or Pool(f"type {job_type}", room)
    return (job_type, room, pool.name, pool.room, version)
