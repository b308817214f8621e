"""What happens to records: damaged by somebody else, or written by a younger EMP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from faults.fault import Effect, look_for
from faults.history import Damaged
from faults.rig import Rig

Deed = Callable[[Rig, str], object]

_DEEDS: Final[Mapping[str, Deed]] = {
    "is no hash": lambda rig, id_: (
        rig.direct.delete(rig.keys("job", id_)),
        rig.direct.set(rig.keys("job", id_), "x"),
    ),
    "is gone": lambda rig, id_: rig.direct.delete(rig.keys("job", id_)),
    "has a state of nobody's": lambda rig, id_: rig.direct.hset(rig.keys("job", id_), "state", "dreaming"),
    "has no number of attempts": lambda rig, id_: rig.direct.hset(rig.keys("job", id_), "attempt", "many"),
    "has no payload": lambda rig, id_: rig.direct.delete(rig.keys("payload", id_)),
    "has a list as its payload": lambda rig, id_: (
        rig.direct.delete(rig.keys("payload", id_)),
        rig.direct.rpush(rig.keys("payload", id_), "x"),
    ),
}
"""What is done to a job that waits for its time."""


@contextmanager
def damaged(rig: Rig) -> Iterator[Effect]:
    """Damage jobs that wait, each in another way: the others go on, and nothing waits for the damaged ones."""
    effect, done = Effect(), []
    for deed in _DEEDS.values():
        job_id = rig.client.submit("faults.async", delay=1.0)
        if job_id is not None:
            rig.history.note(Damaged(job_id))
            deed(rig, job_id)
            done.append(job_id)
    yield effect

    def let_go() -> bool:
        waiting = {each.decode() for each in rig.direct.zrange(rig.keys("scheduled"), 0, -1)}
        waiting |= {each.decode() for each in rig.direct.zrange(rig.keys("pending", "faults.async"), 0, -1)}
        return not waiting & set(done)

    effect.seen(look_for(let_go, 10) and f"{len(done)} damaged jobs wait no more")


@contextmanager
def unknown_fields(rig: Rig) -> Iterator[Effect]:
    """Add fields that a younger EMP might write: the job runs as ever."""
    job_id = rig.client.submit("faults.async", delay=0.5)
    if job_id is not None:
        rig.direct.hset(rig.keys("job", job_id), mapping={"colour": "blue", "v": "9"})
    effect = Effect()
    yield effect
    effect.seen(
        look_for(lambda: rig.direct.hget(rig.keys("job", job_id or ""), "state") == b"completed", 10)
        and "a job with unknown fields has completed"
    )
