"""What may be done to a store and to the model, as hypothesis chooses it, and in the words of either."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import strategies as st

from emp_core.ids import JobId, WorkerId
from emp_core.jobs import (
    Cancelled,
    Completed,
    Failed,
    Idempotency,
    OnWorkerLost,
    Outcome,
    Reason,
    Released,
    Retry,
    Submission,
)
from emp_core.store import Reply

from . import DAY, Model, Wish

BIRTH = 1_800_000_000_000
TYPES = ("test.a", "test.b")
RESULT, ERROR = b'{"n": 1}', b'{"message": "no"}'
BACKOFF = 2000

# Whole and half seconds, so that deadlines are met exactly as well as missed on either side.
TIMES = (500, 1000, 2000, 3000, 4000, 5000, 10_000, 15_000, 15_500, DAY, 8 * DAY, 31 * DAY, -20_000)
OUTCOMES = ("complete", "fail", "retry", "release", "refuse", "confirm", "crash", "crash_for_good")
DUTIES = ("promote", "expire", "recover", "retain")
MOSTLY = st.sampled_from([True, True, True, False])
WISHES = st.builds(
    Wish,
    job_id=st.just(JobId("")),
    job_type=st.sampled_from(TYPES),
    payload=st.sampled_from([b"{}", b'{"n": 1}', b"x" * 5000]),
    priority=st.sampled_from([0, 0, 5, -1000, 1000]),
    run_at=st.sampled_from([*[None] * 6, BIRTH - 1000, BIRTH + 30_000]),
    delay=st.sampled_from([None, None, None, 0, 1000, 5000]),
    expires_in=st.sampled_from([None, None, None, 1000, 20_000]),
    expires_at=st.sampled_from([None, None, None, BIRTH - 1000, BIRTH + 20_000]),
    max_attempts=st.integers(1, 4),
    fails_with_worker=MOSTLY.map(lambda often: not often),
    retention=st.sampled_from([None, None, 0, 5000]),
    tags=st.sampled_from([(), ("red",), ("blue", "red")]),
    idem_key=st.sampled_from([*[None] * 6, "k1", "k2"]),
    idem_digest=st.sampled_from(["d1", "d1", "d2"]),
)
LAST_PLACE = 7
PLACE = st.integers(0, LAST_PLACE)
PLACES = st.lists(PLACE, min_size=1, max_size=3)
"""Which of the known jobs or claims, counted from the newest; a place may come twice."""
SLOTS = st.integers(0, 2)
"""Which of three workers, or of those that took their places."""


def _milliseconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(milliseconds=number)


def _moment(number: int | None) -> datetime | None:
    return None if number is None else datetime.fromtimestamp(number / 1000, tz=UTC)


def submission_of(wish: Wish) -> Submission:
    """Give a wish as the store takes it."""
    return Submission(
        *(wish.job_id, wish.job_type, wish.payload, wish.priority),
        run_at=_moment(wish.run_at),
        delay=_milliseconds(wish.delay),
        expires_in=_milliseconds(wish.expires_in),
        expires_at=_moment(wish.expires_at) if wish.expires_in is None else None,
        max_attempts=wish.max_attempts,
        on_worker_lost=OnWorkerLost.FAIL if wish.fails_with_worker else OnWorkerLost.RETRY,
        retention=_milliseconds(wish.retention),
        tags=wish.tags,
        idempotency=Idempotency("", wish.idem_key, wish.idem_digest) if wish.idem_key else None,
    )


def outcome_of(verb: str, job_id: JobId, token: str) -> Outcome:
    """Give an outcome as the store takes it; `refuse` is a release with a delay, a crash the death of a child."""
    outcomes: dict[str, Outcome] = {
        "complete": Completed(job_id, token, RESULT),
        "fail": Failed(job_id, token, Reason.ERROR, ERROR),
        "retry": Retry(job_id, token, Reason.ERROR, ERROR, timedelta(milliseconds=BACKOFF)),
        "release": Released(job_id, token),
        "refuse": Released(job_id, token, timedelta(milliseconds=BACKOFF)),
        "confirm": Cancelled(job_id, token),
        "crash": Retry(job_id, token, Reason.ERROR, ERROR, timedelta(milliseconds=BACKOFF), is_loss=True),
        "crash_for_good": Failed(job_id, token, Reason.ERROR, ERROR, is_loss=True),
    }
    return outcomes[verb]


def settled(model: Model, verb: str, worker: WorkerId, job_id: JobId, token: str, begun: int | None) -> Reply:
    """Do the same to the model."""
    settle: dict[str, Callable[..., Reply]] = {
        "complete": partial(model.complete, result=RESULT),
        "fail": partial(model.fail, error=ERROR),
        "retry": partial(model.retry, error=ERROR, delay=BACKOFF),
        "release": partial(model.release, delay=None),
        "refuse": partial(model.release, delay=BACKOFF),
        "confirm": model.confirm,
        "crash": partial(model.retry, error=ERROR, delay=BACKOFF, is_loss=True),
        "crash_for_good": partial(model.fail, error=ERROR, is_loss=True),
    }
    return settle[verb](worker, job_id, token, begun)
