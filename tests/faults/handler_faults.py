"""What handlers do: whatever one does, its neighbours' jobs go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from faults.fault import Effect, look_for
from faults.journal import read_journal
from faults.rig import Rig

ENDS_WITHIN = 40.0


@contextmanager
def hostile(rig: Rig, how: str, mode: str, ends_as: str = "failed") -> Iterator[Effect]:
    """Submit a job that may be begun twice and whose handler does harm, and see it end as it must."""
    effect = Effect()
    job_id = rig.client.submit(f"faults.hostile_{mode}", work={"how": how}, max_attempts=2, timeout=1.5)
    yield effect
    if job_id is None:
        return

    def ended() -> str:
        fields = rig.direct.hmget(rig.keys("job", job_id), "state", "reason")
        return b" ".join(field for field in fields if field).decode() if fields[0] in FINAL else ""

    end = look_for(ended, ENDS_WITHIN) or ""
    begun = len(read_journal(rig.journal).begun(job_id))
    effect.seen(begun and end.startswith(ends_as) and f"begun {begun} times, ended as {end}")


FINAL = frozenset({b"completed", b"failed", b"cancelled"})
